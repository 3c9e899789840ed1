"""Tuning an array: what each cell is, and the pulse at which it switches as wanted."""

from ._apply_tuning import apply_tuning
from ._calibration import Cells, fraction_at_neither_state, measure_probability, measure_states, tune, warm_up
from ._pulser import ArrayPulser
from ._search import Points, Tuned
from ._switching_calibration import VoltagePulser, calibrate
from ._tuning import Conditions, Tuning, now

__all__ = [
    "ArrayPulser",
    "Cells",
    "Conditions",
    "Points",
    "Tuned",
    "Tuning",
    "VoltagePulser",
    "apply_tuning",
    "calibrate",
    "fraction_at_neither_state",
    "measure_probability",
    "measure_states",
    "now",
    "tune",
    "warm_up",
]

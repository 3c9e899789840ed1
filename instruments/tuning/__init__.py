"""Tuning an array: what each cell is, and the pulse at which it switches as wanted."""

from ._apply_tuning import apply_tuning
from ._calibration import Cells, fraction_at_neither_state, measure_probability, measure_states, tune, warm_up
from ._draw_calibration import DrawCalibration, DrawConditions, spread_over
from ._pulser import ArrayPulser, ArrayVoltagePulser
from ._search import Points, Tuned
from ._switching_calibration import VoltagePulser, calibrate, find_voltages
from ._tuning import Conditions, Tuning, now

__all__ = [
    "ArrayPulser",
    "ArrayVoltagePulser",
    "Cells",
    "Conditions",
    "DrawCalibration",
    "DrawConditions",
    "Points",
    "Tuned",
    "Tuning",
    "VoltagePulser",
    "apply_tuning",
    "calibrate",
    "find_voltages",
    "fraction_at_neither_state",
    "measure_probability",
    "measure_states",
    "now",
    "spread_over",
    "tune",
    "warm_up",
]

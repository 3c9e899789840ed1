"""pymeasure procedures that pulse and read the array."""

from ..recording import EnergyPerBit, HealthSummary, RecordingProgress, RecordingSummary
from ._bench_procedure import BenchProcedure
from ._calibrate_draws import CalibrateDraws, CalibrationProgress
from ._record_bits import RecordBits
from ._tune import Tune, TuningProgress

__all__ = [
    "BenchProcedure",
    "CalibrateDraws",
    "CalibrationProgress",
    "EnergyPerBit",
    "HealthSummary",
    "RecordBits",
    "RecordingProgress",
    "RecordingSummary",
    "Tune",
    "TuningProgress",
]

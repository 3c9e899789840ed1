"""Recording bits into a store: what comes before, what runs, and the account of it."""

from ._account import COLUMNS, RecordingAccount
from ._beginning import begin
from ._energy import EnergyPerBit
from ._health import warm_up
from ._preparation import Prepared, least_claim, prepare, rehearse
from ._running import Running
from ._settings import ServoChoice, Settings
from ._summary import HealthSummary, RecordingProgress, RecordingSummary

__all__ = [
    "COLUMNS",
    "EnergyPerBit",
    "HealthSummary",
    "Prepared",
    "RecordingAccount",
    "RecordingProgress",
    "RecordingSummary",
    "Running",
    "ServoChoice",
    "Settings",
    "begin",
    "least_claim",
    "prepare",
    "rehearse",
    "warm_up",
]

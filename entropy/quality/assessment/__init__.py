"""The assessment of recorded bits: how much min-entropy each holds, by which tests, per cell and over time."""

from ._assess import STANDARD_BITS, Assessment, Conditioned, Settings, Window, assess, autocorrelation
from ._cells import CellAssessment, estimate_by_cell
from ._credit import credit
from ._health import Health, health_of
from ._ideal import ideal_estimates
from ._subject import FORMS, FileSubject, StoreSubject, Subject

__all__ = [
    "FORMS",
    "STANDARD_BITS",
    "Assessment",
    "CellAssessment",
    "Conditioned",
    "FileSubject",
    "Health",
    "Settings",
    "StoreSubject",
    "Subject",
    "Window",
    "assess",
    "autocorrelation",
    "credit",
    "estimate_by_cell",
    "health_of",
    "ideal_estimates",
]

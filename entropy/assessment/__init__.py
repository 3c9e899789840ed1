"""The assessment of recorded bits: how much min-entropy each holds, by which tests, per cell and over time."""

from ._assess import Assessment, Conditioned, Settings, Window, assess, autocorrelation
from ._cells import CellAssessment
from ._health import Health, health_of
from ._ideal import ideal_estimates
from ._subject import FORMS, FileSubject, StoreSubject, Subject

__all__ = [
    "FORMS",
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
    "health_of",
    "ideal_estimates",
]

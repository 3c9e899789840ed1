"""Holding the working point of a recording against drift: by what its own bits say, kept in its file."""

from ._control import InitialTrims, WorkingPointControl, trims_at
from ._response import Response
from ._servo import Counts, Servo

__all__ = ["Counts", "InitialTrims", "Response", "Servo", "WorkingPointControl", "trims_at"]

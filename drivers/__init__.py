"""pymeasure instruments for boxes that pymeasure lacks, and the register of which class drives which box."""

from ._errors import BoardError, CorruptBlock, UnknownDriver
from ._register import Known, identify, known, resolve
from .array_board import ArrayBlock, ArrayBoard, LostBlocks

__all__ = [
    "ArrayBlock",
    "ArrayBoard",
    "BoardError",
    "CorruptBlock",
    "Known",
    "LostBlocks",
    "UnknownDriver",
    "identify",
    "known",
    "resolve",
]

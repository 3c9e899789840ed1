"""The array board of docs/array-board-protocol.md: pulses an array of junctions and reads it back.

`_driver`: the declarative pymeasure driver; `_link`: questions and their answers; `_wire`: bytes; `_answers`: what the
dialect lets a board answer; `_settings`: what a host may set; `_block`: blocks of an acquisition.
"""

from ._block import ArrayBlock, LostBlocks
from ._driver import ArrayBoard

__all__ = ["ArrayBlock", "ArrayBoard", "LostBlocks"]

"""A small SCPI engine: input assembly, headers, parameters, status and error queue.

Knows nothing of what the commands do: a box brings a table of `Command`s (see `mock_hw.boxes`). Follows IEEE 488.2 and
SCPI-1999 as far as docs/array-board-protocol.md names them, and what boxes written from their manuals need beside it.
"""

from mock_hw._scpi._input import Assembler, InputClosed, Line
from mock_hw._scpi._messages import Unit, arguments, definite_block, units
from mock_hw._scpi._parameters import Converter, block, boolean, integer, number, number_or, quoted, word
from mock_hw._scpi._status import ERRORS, MAX_ERRORS, ScpiError, Status
from mock_hw._scpi._table import Answer, Command, Table, spellings

__all__ = [
    "ERRORS",
    "MAX_ERRORS",
    "Answer",
    "Assembler",
    "Command",
    "Converter",
    "InputClosed",
    "Line",
    "ScpiError",
    "Status",
    "Table",
    "Unit",
    "arguments",
    "block",
    "boolean",
    "definite_block",
    "integer",
    "number",
    "number_or",
    "quoted",
    "spellings",
    "units",
    "word",
]

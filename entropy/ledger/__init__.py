"""The ledger of a store: which bits of which buffer are free, leased, consumed, burned or withheld."""

from ._accounts import Accounts
from ._buffers import DELETED, BufferRecord, BufferUpdate
from ._credits import DRAWN, Credit
from ._leases import OpenLease, TakenBits
from ._ledger import Ledger
from ._liveness import Liveness, Mark
from ._locks import FileLock, FileLocks
from ._protocol import BitLedger
from ._range_table import BURNED, CONSUMED, FREE, LEASED, STATES, WITHHELD
from ._ranges import Range, join_adjacent, slice_ranges
from ._requests import Request, Ticket, needed
from ._transaction import now

__all__ = [
    "BURNED",
    "CONSUMED",
    "DELETED",
    "DRAWN",
    "FREE",
    "LEASED",
    "STATES",
    "WITHHELD",
    "Accounts",
    "BitLedger",
    "BufferRecord",
    "BufferUpdate",
    "Credit",
    "FileLock",
    "FileLocks",
    "Ledger",
    "Liveness",
    "Mark",
    "OpenLease",
    "Range",
    "Request",
    "TakenBits",
    "Ticket",
    "join_adjacent",
    "needed",
    "now",
    "slice_ranges",
]

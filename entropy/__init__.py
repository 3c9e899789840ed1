"""The store of recorded bits: write, follow, check, condition, lease.

Each usable bit of a store is free, leased, consumed, burned or withheld, and is handed out at most once.
"""

from ._errors import NotEnoughBits, SharedCells, StoreError
from ._format import BLOCK_DTYPE, CELL_DTYPE
from ._lease import BitReader, Lease, Portion
from ._ledger import Accounts, OpenLease
from ._opening import adopt
from ._ranges import Range
from ._recording import BlockCommit, Recording
from ._requests import Request
from ._reservation import Reservation
from ._store import BufferInfo, FollowedBlock, Store
from ._verify import VerifyReport
from .conditioning import Conditioning, NoConditioning, Xor, conditioning_from_name
from .statistics import CellStatistics, PairSums, cell_statistics

__all__ = [
    "BLOCK_DTYPE",
    "CELL_DTYPE",
    "Accounts",
    "BitReader",
    "BlockCommit",
    "BufferInfo",
    "CellStatistics",
    "Conditioning",
    "FollowedBlock",
    "Lease",
    "NoConditioning",
    "NotEnoughBits",
    "OpenLease",
    "PairSums",
    "Portion",
    "Range",
    "Recording",
    "Request",
    "Reservation",
    "SharedCells",
    "Store",
    "StoreError",
    "VerifyReport",
    "Xor",
    "adopt",
    "cell_statistics",
    "conditioning_from_name",
]

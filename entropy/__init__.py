"""The store of recorded bits: write, follow, check, condition, lease.

Each usable bit of a store is free, leased, consumed, burned or withheld, and is handed out at most once.
"""

from typing import TYPE_CHECKING

from ._errors import DamagedLedger, NotAssessed, NotEnoughBits, SharedCells, StoreError
from .lazy import later
from .ledger import Accounts, Credit, FileLock, OpenLease, Range, Request, slice_ranges
from .store._adopt import adopt
from .store._catalogue import BufferInfo
from .store._following import FollowedBlock
from .store._lease import Lease, Portion
from .store._prune import PrunePolicy, PruneStep
from .store._reservation import Reservation
from .store._store import Store

if TYPE_CHECKING:
    from .buffer._block_facts import BlockFacts
    from .buffer._commanded import Commanded, DrawMode
    from .buffer._format import (
        ACTION_DTYPE,
        BLOCK_DTYPE,
        CELL_DTYPE,
        FROM_AP,
        FROM_BOTH,
        FROM_P,
        TUNING_DTYPE,
    )
    from .buffer._packed import count_ones
    from .buffer._pieces import BitReader, Piece, gather
    from .buffer._recording import BlockCommit, Recording
    from .buffer._recording_plan import RecordingPlan
    from .buffer._stream import BitStream
    from .conditioning import (
        CONDITIONING_NAMES,
        Conditioning,
        NoConditioning,
        Peres,
        PublicMask,
        Sha256,
        Toeplitz,
        VonNeumann,
        Xor,
        conditioning_from_name,
    )
    from .quality.statistics import CellStatistics, PairSums, cell_statistics
    from .store._export import EXPORT_FORMS, check_export, export_bits, move_blocks
    from .store._rewrite import RewriteStep, rewrite
    from .store._salvage import SalvageReport, salvage
    from .store._trial_read import check_conditioning
    from .store._verify import BadBlock, VerifyReport
    from .store._verify_store import verify

# What needs numpy and HDF5 is imported when it is first named: a store opens, and is listed, without them.
_LATER = {
    ".store._export": "EXPORT_FORMS check_export export_bits move_blocks",
    ".buffer._block_facts": "BlockFacts",
    ".buffer._commanded": "Commanded DrawMode",
    ".buffer._format": "ACTION_DTYPE BLOCK_DTYPE CELL_DTYPE FROM_AP FROM_BOTH FROM_P TUNING_DTYPE",
    ".buffer._packed": "count_ones",
    ".buffer._pieces": "BitReader Piece gather",
    ".buffer._recording": "BlockCommit Recording",
    ".store._rewrite": "RewriteStep rewrite",
    ".store._salvage": "SalvageReport salvage",
    ".buffer._recording_plan": "RecordingPlan",
    ".buffer._stream": "BitStream",
    ".store._trial_read": "check_conditioning",
    ".store._verify": "BadBlock VerifyReport",
    ".store._verify_store": "verify",
    ".conditioning": "CONDITIONING_NAMES Conditioning NoConditioning Peres PublicMask Sha256 Toeplitz VonNeumann Xor "
    "conditioning_from_name",
    ".quality.statistics": "CellStatistics PairSums cell_statistics",
}

__all__ = [
    "ACTION_DTYPE",
    "BLOCK_DTYPE",
    "CELL_DTYPE",
    "CONDITIONING_NAMES",
    "EXPORT_FORMS",
    "FROM_AP",
    "FROM_BOTH",
    "FROM_P",
    "TUNING_DTYPE",
    "Accounts",
    "BadBlock",
    "BitReader",
    "BitStream",
    "BlockCommit",
    "BlockFacts",
    "BufferInfo",
    "CellStatistics",
    "Commanded",
    "Conditioning",
    "Credit",
    "DamagedLedger",
    "DrawMode",
    "FileLock",
    "FollowedBlock",
    "Lease",
    "NoConditioning",
    "NotAssessed",
    "NotEnoughBits",
    "OpenLease",
    "PairSums",
    "Peres",
    "Piece",
    "Portion",
    "PrunePolicy",
    "PruneStep",
    "PublicMask",
    "Range",
    "Recording",
    "RecordingPlan",
    "Request",
    "Reservation",
    "RewriteStep",
    "SalvageReport",
    "Sha256",
    "SharedCells",
    "Store",
    "StoreError",
    "Toeplitz",
    "VerifyReport",
    "VonNeumann",
    "Xor",
    "adopt",
    "cell_statistics",
    "check_conditioning",
    "check_export",
    "conditioning_from_name",
    "count_ones",
    "export_bits",
    "gather",
    "move_blocks",
    "rewrite",
    "salvage",
    "slice_ranges",
    "verify",
]

__getattr__, __dir__ = later(__name__, _LATER)

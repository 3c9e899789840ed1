"""The block that an acquisition of the array board delivers: see docs/array-board-protocol.md."""

import math
import struct
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib

from drivers._errors import BoardError, CorruptBlock

HEADER = struct.Struct("<4sHHQQIIdQIIII")
HEADER_BYTES = 64
MAGIC = b"MTJB"

_HAS_VALID, _RESISTANCES, _TOGGLE, _STALLED, _SIMULATED, _LAST = (1 << bit for bit in range(6))


@dataclass(frozen=True, eq=False)
class ArrayBlock:
    """One block of an acquisition; positions run through time first, then row, then column.

    `bits`: packed uint8, one bit per position, first bit most significant (None where readings were asked
    for); `valid`: packed mask of the same order, 1 = valid (None: all are); `resistances`: float32, ohm,
    (pulses, cells), NaN where invalid (None where bits were asked for); `cells`: positions of one pulse;
    `time`: board clock at the first pulse, s; `stalled`: the board stalled just before this block; `last`: it
    ends a finite acquisition; `generation`: changes of trims in this acquisition that took effect before this block
    (0 from a board of protocol 1.0). The arrays are read-only views of what arrived.
    """

    sequence: int
    positions: int
    cells: int
    pulses: int
    time: float
    failed_resets: int
    stalls: int
    toggle: bool
    stalled: bool
    simulated: bool
    last: bool
    bits: np.ndarray | None
    valid: np.ndarray | None
    resistances: np.ndarray | None
    generation: int = 0


class LostBlocks(BoardError):
    """Blocks are missing before one that arrived well.

    `missing`: how many; `block`: the one that did arrive.
    """

    def __init__(self, message: str, *, missing: int, block: ArrayBlock) -> None:
        super().__init__(message)
        self.missing = missing
        self.block = block


def parse_block(payload: bytes | memoryview, source: str) -> ArrayBlock:
    """Read the payload of a `FETCh?` answer; `source` names the board in what is raised.

    Raises CorruptBlock where header, length or CRC-32 do not fit each other, or hold what cannot be.
    """
    if len(payload) < HEADER_BYTES:
        raise CorruptBlock(f"{source} sent a block of {len(payload)} bytes, too short for its header")
    fields = HEADER.unpack_from(payload)
    (
        magic,
        version,
        length,
        sequence,
        positions,
        cells,
        pulses,
        time,
        failed,
        flags,
        stalls,
        generation,
        crc,
    ) = fields
    if magic != MAGIC or version != 1 or length != HEADER_BYTES:
        raise CorruptBlock(
            f"{source} sent a block with the header {magic!r}, version {version}, {length} bytes; "
            "this driver reads b'MTJB', version 1, 64 bytes"
        )
    view = memoryview(payload)
    if isal_zlib.crc32(view[HEADER_BYTES:], isal_zlib.crc32(view[: HEADER_BYTES - 4])) != crc:
        raise CorruptBlock(f"block {sequence} of {source} arrived damaged: its CRC-32 does not fit its bytes")
    packed = (positions + 7) // 8
    data = 4 * positions if flags & _RESISTANCES else packed
    mask = packed if flags & _HAS_VALID else 0
    if positions != cells * pulses or len(payload) != HEADER_BYTES + data + mask:
        raise CorruptBlock(
            f"block {sequence} of {source} holds {len(payload)} bytes for {pulses} pulses of {cells} cells "
            f"({positions} positions), which do not fit each other"
        )
    if not (math.isfinite(time) and failed <= positions):
        raise CorruptBlock(
            f"block {sequence} of {source} is none: its time is {time!r}, and {failed} of its {positions} resets failed"
        )
    values = np.frombuffer(payload, np.uint8, data, HEADER_BYTES)
    readings = values.view("<f4").reshape(pulses, cells) if flags & _RESISTANCES else None
    return ArrayBlock(
        sequence=sequence,
        positions=positions,
        cells=cells,
        pulses=pulses,
        time=time,
        failed_resets=failed,
        stalls=stalls,
        toggle=bool(flags & _TOGGLE),
        stalled=bool(flags & _STALLED),
        simulated=bool(flags & _SIMULATED),
        last=bool(flags & _LAST),
        bits=None if flags & _RESISTANCES else values,
        valid=np.frombuffer(payload, np.uint8, mask, HEADER_BYTES + data) if mask else None,
        resistances=readings,
        generation=generation,
    )

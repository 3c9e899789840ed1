"""Which block rows of a buffer may be believed: a row is only as good as all rows before it."""

from dataclasses import dataclass

import numpy as np

from ._format import FROM_BOTH, FROM_P, row_crcs


@dataclass(frozen=True)
class Room:
    """What a buffer has for its blocks: bytes in `/bits` and `/valid`, positions of one pulse."""

    bits: int
    valid: int
    cells: int


def packed_bytes(bits: np.ndarray) -> np.ndarray:
    """Give how many bytes so many packed bits take; int64."""
    return (bits.astype(np.int64) + 7) // 8


def bytes_of(rows: np.ndarray) -> np.ndarray:
    """Count the bytes in `/bits` and in `/valid` of the blocks of some rows; int64, (2,)."""
    masks = packed_bytes(rows["positions"])[rows["valid_offset"] >= 0]
    return np.array([packed_bytes(rows["bits"]).sum(), masks.sum()])


def sound_rows(rows: np.ndarray, room: Room, first_byte: int, first_valid: int) -> tuple[int, str]:
    """Count the rows from the first on that a writer can have made, and say what is wrong with the next one.

    `first_byte`, `first_valid`: where in `/bits` and `/valid` the first of them must begin. The sentence is ''
    where nothing is wrong. Blocks that begin elsewhere than where the block before them ends could share its
    bits, which would then be handed out twice.
    """
    bits, positions, offset = rows["bits"], rows["positions"], rows["valid_offset"]
    masked = offset >= 0
    possible = (bits <= np.uint64(8 * room.bits)) & (positions <= np.uint64(8 * max(room.bits, room.valid)))
    # what is impossible counts as nothing in the sums, so that they cannot overflow; it is found anyway
    size = np.where(possible, packed_bytes(np.where(possible, bits, 0)), 0)
    mask = np.where(possible & masked, packed_bytes(np.where(possible, positions, 0)), 0)
    ends, mask_ends = first_byte + np.cumsum(size), first_valid + np.cumsum(mask)
    checks = (
        (row_crcs(rows) == rows["row_crc"], "its check is wrong"),
        (possible, "it has more bits than the file has room for"),
        (rows["first_byte"] == (ends - size).astype(np.uint64), "it does not begin where the block before it ends"),
        (ends <= room.bits, "it ends beyond /bits or the file"),
        (rows["ones"] <= bits, "it has more ones than bits"),
        (positions % np.uint64(room.cells) == 0, "its positions are not whole pulses"),
        (masked | (offset == -1) & (bits == positions), "it has no mask and other bits than positions"),
        (~masked | (bits <= positions), "it has more bits than positions"),
        (~masked | (offset == mask_ends - mask), "its mask does not begin where the mask before it ends"),
        (~masked | (mask_ends <= room.valid), "its mask ends beyond /valid or the file"),
    )  # fmt: skip
    good = np.logical_and.reduce([check for check, _ in checks])
    if good.all():
        return len(rows), ""
    wrong = int(np.argmin(good))
    return wrong, next(sentence for check, sentence in checks if not check[wrong])


def sound_actions(rows: np.ndarray, cells: int) -> int:
    """Count the rows of ACTION_DTYPE from the first on that a writer can have made, for pulses of `cells` cells."""
    good = row_crcs(rows) == rows["row_crc"]
    good &= (
        (rows["cell"] >= -1)
        & (rows["cell"] < cells)
        & (rows["state"] >= FROM_P)
        & (rows["state"] <= FROM_BOTH)
    )
    good[1:] &= rows["block"][1:] >= rows["block"][:-1]
    return len(rows) if good.all() else int(np.argmin(good))

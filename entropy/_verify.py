"""Checking a store against itself: every byte of bits, every row, every range of the ledger."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ._errors import StoreError
from ._ledger import BufferRecord, Ledger
from ._reader import BufferReader
from ._recording import count_ones


@dataclass(frozen=True)
class VerifyReport:
    """What `Store.verify` found: `problems` are faults, `notes` are facts worth knowing (gaps, strays)."""

    problems: list[str]
    notes: list[str]
    blocks: int
    bits: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


@dataclass
class _Findings:
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blocks: int = 0
    bits: int = 0


def verify(folder: Path, ledger: Ledger, progress: Callable[[int, int], None] | None) -> VerifyReport:
    """Verify all buffers of a store; see `Store.verify`."""
    found = _Findings()
    records = ledger.buffers()
    total = sum(record.bytes for record in records)
    done = 0
    for record in records:
        base = done
        _verify_buffer(
            folder, ledger, record, found, lambda at, base=base: progress and progress(base + at, total)
        )
        done += record.bytes
    known = {record.file for record in records}
    found.notes += [
        f"{path}: not in the ledger, so none of its bits are used"
        for path in sorted(folder.glob("*.h5"))
        if path.name not in known
    ]
    if not ledger.accounts().balanced:
        found.problems.append(f"{ledger.path}: the accounts do not add up: {ledger.accounts()}")
    return VerifyReport(found.problems, found.notes, found.blocks, found.bits)


def _verify_buffer(
    folder: Path, ledger: Ledger, record: BufferRecord, found: _Findings, progress: Callable[[int], object]
) -> None:
    _check_tiling(ledger, record, found)
    try:
        reader = BufferReader(folder / record.file)
    except StoreError as error:
        found.problems.append(str(error))
        return
    try:
        _check_rows(ledger, record, reader, found)
        for index in range(len(reader.rows)):
            _check_block(reader, index, found)
            progress(
                min(
                    int(reader.rows["first_byte"][index]) + int(reader.rows["bits"][index] + 7) // 8,
                    record.bytes,
                )
            )
    finally:
        reader.close()


def _check_tiling(ledger: Ledger, record: BufferRecord, found: _Findings) -> None:
    at = 0
    for first, bits, state in ledger.ranges(record.id):
        if first != at:
            found.problems.append(
                f"{ledger.path}: {record.file} has no or two owners at bit {min(first, at):,}"
            )
        at = first + bits
        del state
    if at != record.bits:
        found.problems.append(
            f"{ledger.path}: the ranges of {record.file} end at bit {at:,} of {record.bits:,}"
        )


def _check_rows(ledger: Ledger, record: BufferRecord, reader: BufferReader, found: _Findings) -> None:
    rows, path = reader.rows, reader.path
    wrong = reader.unsound_rows()
    if wrong and record.ended:
        found.problems.append(f"{path}: the row of block {len(rows)} is damaged ({wrong} rows from there on)")
    copies = ledger.block_copies(record.id)
    if len(copies) > len(rows):
        found.problems.append(f"{path}: {len(rows)} blocks are there and the ledger knows {len(copies)}")
    both = min(len(copies), len(rows))
    names = ("first_byte", "bits", "ones", "crc")
    mine = np.stack([rows[name][:both].astype(np.int64) for name in names], axis=1)
    for index in np.flatnonzero((mine != copies[:both]).any(axis=1)):
        found.problems.append(f"{path}: the row of block {index} differs from the ledger's copy")
    sizes = (rows["bits"].astype(np.int64) + 7) // 8
    places = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(rows) else sizes
    for index in np.flatnonzero(rows["first_byte"].astype(np.int64) != places):
        found.problems.append(f"{path}: block {index} does not begin where the block before it ends")
    if len(rows) > 1:
        steps = np.diff(rows["sequence"].astype(np.int64))
        for index in np.flatnonzero(steps != 1):
            found.notes.append(
                f"{path}: the board's sequence steps by {steps[index]} before block {index + 1}"
            )


def _check_block(reader: BufferReader, index: int, found: _Findings) -> None:
    row = reader.rows[index]
    try:
        block = reader.load(index)
    except StoreError as error:
        found.problems.append(str(error))
        return
    found.blocks += 1
    found.bits += block.bits
    if count_ones(np.ascontiguousarray(block.data)) != int(row["ones"]):
        found.problems.append(f"{reader.path}: block {index} has other ones than its row says")
    if block.bits % 8 and block.data[-1] & (0xFF >> block.bits % 8):
        found.problems.append(f"{reader.path}: the padding of block {index} is not zero")
    usable = block.positions if block.valid is None else count_ones(block.valid)
    if usable != block.bits:
        found.problems.append(
            f"{reader.path}: block {index} has {block.bits} bits of {usable} usable positions"
        )

"""Checking a store against itself: every byte of bits, every row, every range of the ledger."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .._errors import StoreError
from ..buffer._reader import BufferReader
from ..buffer._rows import packed_bytes
from ..ledger import DELETED, STATES, BufferRecord, Ledger
from ._scan import Scanner, default_threads

_NAMED = 5  # so many places are named before the rest is counted


@dataclass(frozen=True)
class BadBlock:
    """A block that cannot be relied on: of the buffer `buffer` (uuid) in the file `file`, and what is wrong."""

    buffer: str
    file: str
    block: int
    fault: str


@dataclass
class VerifyReport:
    """What `Store.verify` report.

    `problems` are faults, `notes` are facts worth knowing (gaps, strays); `bad_blocks` names every block that
    a fault concerns; `blocks` and `bits` say how much was read and found right.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    blocks: int = 0
    bits: int = 0
    bad_blocks: list[BadBlock] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    folder: Path, ledger: Ledger, progress: Callable[[int, int], None] | None, threads: int | None = None
) -> VerifyReport:
    """Verify all buffers of a store with `threads` threads (default: one for each core); see `Store.verify`.

    Of a live buffer those blocks are read that the ledger knows when this begins.
    """
    report = VerifyReport()
    records = [record for record in ledger.buffers() if _names_a_file(ledger, record, report)]
    paths = {record.uuid: _place(folder, record, report) for record in records}
    total = sum(record.bytes for record in records if paths[record.uuid] is not None)
    with Scanner(threads or default_threads()) as scanner:
        base = 0
        for record in records:
            path = paths[record.uuid]
            if path is None:
                _check_ledger(ledger, record, _copies(ledger, record, report), report)
                continue
            end = base + record.bytes

            def advance(at: int, base: int = base, end: int = end) -> None:
                if progress is not None:
                    progress(min(base + at, end), total)

            _verify_buffer(path, ledger, record, scanner, report, advance)
            base = end
    _note_strays(folder, records, report)
    if not ledger.accounts().balanced:
        report.problems.append(f"{ledger.path}: the accounts do not add up: {ledger.accounts()}")
    report.bad_blocks.sort(key=lambda bad: (bad.file, bad.block))
    return report


def _names_a_file(ledger: Ledger, record: BufferRecord, report: VerifyReport) -> bool:
    """Say whether the ledger's record of a buffer names a file of the store, and note it as a problem where not."""
    sane = os.path.basename(record.file) == record.file
    if not sane:
        report.problems.append(
            f"{ledger.path}: its record of the buffer {record.file!r} holds what it cannot hold; "
            "restore the ledger from a copy"
        )
    return sane


def _place(folder: Path, record: BufferRecord, report: VerifyReport) -> Path | None:
    """Say which file to verify; None where the buffer is not expected to be there."""
    if record.place is None:
        return folder / record.file
    if record.place == DELETED:
        return None
    archived = Path(record.place)
    if archived.exists():
        return archived
    report.notes.append(f"{archived}: archived there and not there now, so {record.file} was not read")
    return None


def _note_strays(folder: Path, records: Iterable[BufferRecord], report: VerifyReport) -> None:
    known = {record.file for record in records}
    report.notes += [
        f"{path}: not in the ledger, so none of its bits are used"
        for path in sorted(folder.glob("*.h5"))
        if path.name not in known
    ]


# --- the ledger by itself


def _check_ledger(ledger: Ledger, record: BufferRecord, copies: np.ndarray, report: VerifyReport) -> None:
    """Check that every bit of a buffer has one state, and that its blocks add up to what is said of it."""
    at = 0
    for first, bits, state in ledger.ranges(record.id):
        if not (isinstance(first, int) and isinstance(bits, int) and bits > 0 and state in STATES):
            report.problems.append(
                f"{ledger.path}: {record.file} has a range that is none ({first!r}, {bits!r}, {state!r})"
            )
            return
        if first != at:
            report.problems.append(
                f"{ledger.path}: {record.file} has no or two owners at bit {min(first, at):,}"
            )
        at = first + bits
    if at != record.bits:
        report.problems.append(
            f"{ledger.path}: the ranges of {record.file} end at bit {at:,} of {record.bits:,}"
        )
    sums = {
        "blocks": len(copies),
        "bits": int(copies[:, 1].sum()),
        "ones": int(copies[:, 2].sum()),
        "bytes": int(packed_bytes(copies[:, 1]).sum()),
    }
    for name, value in sums.items():
        if getattr(record, name) != value:
            report.problems.append(
                f"{ledger.path}: the blocks of {record.file} have {value:,} {name} and it is said to have "
                f"{getattr(record, name):,}"
            )


def _copies(ledger: Ledger, record: BufferRecord, report: VerifyReport) -> np.ndarray:
    """Give the ledger's copies of block rows: (first_byte, bits, ones, crc); int64, (blocks, 4)."""
    try:
        return np.asarray(ledger.block_copies(record.id), np.int64).reshape(-1, 4)
    except (TypeError, ValueError, OverflowError) as error:
        report.problems.append(f"{ledger.path}: the blocks of {record.file} are no numbers ({error})")
        return np.empty((0, 4), np.int64)


def _lost(ledger: Ledger, record: BufferRecord) -> str:
    """Say which ranges of a buffer are in which state, abbreviated where they are many."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    for first, bits, state in ledger.ranges(record.id):
        if isinstance(first, int) and isinstance(bits, int):  # what is none was noted as a problem
            ranges.setdefault(str(state), []).append((first, bits))
    if not ranges:
        return "no bits"
    known = [state for state in STATES if state in ranges]
    return "; ".join(f"{state}: {_named(ranges[state])}" for state in dict.fromkeys([*known, *ranges]))


def _named(ranges: Sequence[tuple[int, int]]) -> str:
    text = ", ".join(f"{first:,} to {first + bits - 1:,}" for first, bits in ranges[:_NAMED])
    if len(ranges) <= _NAMED:
        return f"bits {text}"
    rest = ranges[_NAMED:]
    return f"bits {text} and {len(rest):,} more ranges of {sum(bits for _, bits in rest):,} bits"


# --- the buffers


def _verify_buffer(
    path: Path,
    ledger: Ledger,
    record: BufferRecord,
    scanner: Scanner,
    report: VerifyReport,
    progress: Callable[[int], object],
) -> None:
    try:
        reader = BufferReader(path, record.uuid)
    except StoreError as error:
        copies = _copies(ledger, record, report)
        _check_ledger(ledger, record, copies, report)
        report.problems.append(f"{error} ({_lost(ledger, record)})")
        report.bad_blocks += [BadBlock(record.uuid, record.file, at, str(error)) for at in range(len(copies))]
        return
    with contextlib.closing(reader):
        blocks = len(reader.rows) if record.ended else min(len(reader.rows), record.blocks)
        faults = scanner.scan(reader, blocks, progress)  # which reads while the ledger is looked at
        copies = _copies(ledger, record, report)
        _check_ledger(ledger, record, copies, report)
        bad = _check_rows(record, reader, copies, blocks, report)
        for fault in faults:
            _add_bad(report, record, fault.block, fault.sentence)
            bad.add(fault.block)
        report.blocks += blocks - len(bad)
        report.bits += int(np.delete(reader.rows["bits"][:blocks].astype(np.int64), sorted(bad)).sum())
        try:
            reader.tuning()
            reader.actions()
        except StoreError as error:
            report.problems.append(str(error))
        report.problems += _faults_of_commanded(reader, blocks)
        shared = reader.shared_byte()
        if shared is not None:
            report.problems.append(f"{path}: byte {shared:,} of /bits is stored where another one is")
        _note_sequence(path, reader.rows["sequence"][:blocks], report)


def _faults_of_commanded(reader: BufferReader, blocks: int) -> list[str]:
    """Say what is wrong with what draws were asked for; the bits themselves may be right."""
    faults = []
    for index in range(blocks):
        try:
            reader.commanded(index)
        except StoreError as error:
            faults.append(str(error))
    return faults


def _add_bad(report: VerifyReport, record: BufferRecord, block: int, fault: str) -> None:
    report.bad_blocks.append(BadBlock(record.uuid, record.file, block, fault))
    report.problems.append(fault)


def _check_rows(
    record: BufferRecord, reader: BufferReader, copies: np.ndarray, blocks: int, report: VerifyReport
) -> set[int]:
    """Hold the rows of a buffer against the ledger's copies; gives the blocks, of those there, that differ."""
    rows, path = reader.rows[:blocks], reader.path
    wrong = reader.unsound_rows()
    if wrong and record.ended:
        report.problems.append(
            f"{path}: the row of block {len(rows)} is damaged ({reader.fault}; {wrong} rows from there on)"
        )
    if len(copies) > len(rows):
        report.problems.append(
            f"{path}: {len(rows)} blocks are there and the ledger knows {len(copies)}; restore the file from a copy"
        )
        for index in range(len(rows), len(copies)):
            fault = f"{path}: the row of block {index} is gone or damaged"
            report.bad_blocks.append(BadBlock(record.uuid, record.file, index, fault))
    both = min(len(copies), len(rows))
    names = ("first_byte", "bits", "ones", "crc")
    mine = np.stack([rows[name][:both].astype(np.int64) for name in names], axis=1)
    differing = set(np.flatnonzero((mine != copies[:both]).any(axis=1)).tolist())
    for index in sorted(differing):
        _add_bad(report, record, index, f"{path}: the row of block {index} differs from the ledger's copy")
    return differing


def _note_sequence(path: Path, sequence: np.ndarray, report: VerifyReport) -> None:
    """Note the gaps in the board's numbers of the blocks; a step back to 0 begins another acquisition."""
    if len(sequence) < 2:
        return
    numbers = sequence.astype(np.int64)
    steps = np.diff(numbers)
    begun = (numbers[1:] == 0) & (steps != 1)
    if begun.any():
        places = np.flatnonzero(begun) + 1
        report.notes.append(
            f"{path}: the board's sequence begins again at 0 {len(places)} times ({_blocks(places)}): as many "
            "acquisitions after the first"
        )
    gaps = np.flatnonzero((steps != 1) & ~begun)
    for index in gaps[:_NAMED]:
        report.notes.append(f"{path}: the board's sequence steps by {steps[index]} before block {index + 1}")
    if len(gaps) > _NAMED:
        most, times = Counter(steps[gaps[_NAMED:]].tolist()).most_common(1)[0]
        report.notes.append(
            f"{path}: and {len(gaps) - _NAMED:,} more such gaps, most often by {most} ({times:,} times)"
        )


def _blocks(places: np.ndarray) -> str:
    text = ", ".join(str(place) for place in places[:_NAMED])
    return f"block {text}" + (" …" if len(places) > _NAMED else "")

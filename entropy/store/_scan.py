"""Reading all blocks of a buffer as fast as the disk: in large pieces, in several threads, in little memory."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from isal import isal_zlib

from .._errors import StoreError
from ..buffer._packed import count_ones, ones_between, padding_used
from ..buffer._reader import BufferReader

_PIECE = 1 << 20  # read at once: stays in a core's cache between the read, the CRC and the count of ones
_TASK = 1 << 23  # checked by one thread before it asks for more
_LOOK = 0.2  # s; on Windows Ctrl-C does not end a longer wait


@dataclass(frozen=True)
class Fault:
    """What is wrong with one block of a buffer."""

    block: int
    sentence: str


def default_threads() -> int:
    """Say how many threads keep this machine's cores busy, with more than 8 the disk is the limit."""
    if hasattr(os, "sched_getaffinity"):
        return min(8, len(os.sched_getaffinity(0)))
    return min(8, os.cpu_count() or 1)


class Scanner:
    """Checks the blocks of one buffer after the other in `threads` threads; a context manager.

    Leaving it by an exception (Ctrl-C as well) ends its threads within one piece of a mebibyte each.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="verify")
        self._stop = threading.Event()

    def __enter__(self) -> "Scanner":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def scan(self, reader: BufferReader, blocks: int, progress: Callable[[int], object]) -> Iterator[Fault]:
        """Start on the first `blocks` blocks at once; gives what is wrong with them, in their order.

        `progress(done)` is called in the thread that asks for faults, in bytes of `/bits`.
        """
        tasks = _runs(reader.rows["first_byte"][:blocks], _end(reader, blocks), _TASK)
        waiting = deque(self._start(reader, *task) for task in islice(tasks, 2 * self._threads))
        return self._faults(reader, tasks, waiting, progress)

    def _faults(
        self,
        reader: BufferReader,
        tasks: Iterator[tuple[int, int]],
        waiting: deque[tuple[int, Future[list[Fault]]]],
        progress: Callable[[int], object],
    ) -> Iterator[Fault]:
        while waiting:
            end, future = waiting.popleft()
            while not wait([future], _LOOK).done:
                pass
            waiting += [self._start(reader, *task) for task in islice(tasks, 1)]
            yield from future.result()
            progress(end)

    def _start(self, reader: BufferReader, low: int, high: int) -> tuple[int, Future[list[Fault]]]:
        return _end(reader, high), self._pool.submit(_check, reader, low, high, self._stop)


def _end(reader: BufferReader, block: int) -> int:
    """Give the byte of /bits at which the blocks before `block` end."""
    if not block:
        return 0
    row = reader.rows[block - 1]
    return int(row["first_byte"]) + (int(row["bits"]) + 7) // 8


def _runs(starts: np.ndarray, end: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut blocks (their first bytes, and where the last one ends) into runs of about `size` bytes."""
    low = 0
    ends = np.append(starts[1:], np.uint64(end)) if len(starts) else starts
    while low < len(starts):
        high = int(np.searchsorted(ends, starts[low] + np.uint64(size), side="right"))
        high = max(low + 1, min(high, low + 4096, len(starts)))
        yield low, high
        low = high


def _check(reader: BufferReader, low: int, high: int, stop: threading.Event) -> list[Fault]:
    """Check the blocks from `low` to before `high`."""
    found: list[Fault] = []
    memory = np.empty(_PIECE + 8, np.uint8)
    rows = reader.rows[low:high]
    for first, last in _runs(rows["first_byte"], _end(reader, high), _PIECE):
        if stop.is_set():
            break
        part = rows[first:last]
        begin, end = int(part["first_byte"][0]), _end(reader, low + last)
        if end - begin <= _PIECE and _read(reader, begin, end, memory):
            found += _check_together(reader, low + first, part, memory[: end - begin])
        else:
            for index in range(first, last):
                found += _check_stretch(reader, "bits", low + index, rows[index], memory, stop)
    for index in np.flatnonzero(rows["valid_offset"] >= 0):
        if stop.is_set():
            break
        found += _check_stretch(reader, "valid", low + int(index), rows[index], memory, stop)
    return sorted(found, key=lambda fault: fault.block)


def _read(reader: BufferReader, begin: int, end: int, memory: np.ndarray) -> bool:
    try:
        reader.read_into("bits", begin, memory[: end - begin].data)
    except StoreError:
        return False
    return True


def _check_together(reader: BufferReader, number: int, rows: np.ndarray, data: np.ndarray) -> list[Fault]:
    """Check blocks that lie in memory one after the other."""
    found: list[Fault] = []
    starts = (rows["first_byte"] - rows["first_byte"][0]).tolist()
    view = data.data
    ones = ones_between(data, [*starts, len(data)])
    fields = zip(
        starts, rows["bits"].tolist(), rows["crc"].tolist(), rows["ones"].tolist(), ones, strict=True
    )
    for index, (start, bits, crc, expected, counted) in enumerate(fields, number):
        end = start + (bits + 7) // 8
        right = isal_zlib.crc32(view[start:end]) == crc
        if not right or counted != expected or (bits % 8 and padding_used(data[start:end], bits)):
            found.append(_fault(reader, "bits", index, right, counted, expected))
    return found


# of the stretch of a block in a dataset: where it begins, its bits, their CRC and how many are 1
_FIELDS = {
    "bits": ("first_byte", "bits", "crc", "ones"),
    "valid": ("valid_offset", "positions", "valid_crc", "bits"),
}


def _check_stretch(
    reader: BufferReader, name: str, index: int, row: np.void, memory: np.ndarray, stop: threading.Event
) -> list[Fault]:
    """Check the stretch of one block in a dataset, however long: piece by piece."""
    begin, bits, expected_crc, expected = (int(row[field]) for field in _FIELDS[name])
    crc, ones, end = 0, 0, begin + (bits + 7) // 8
    piece: Any = memory[:0]
    for at in range(begin, end, _PIECE):
        if stop.is_set():
            return []
        piece = memory[: min(_PIECE, end - at)]
        try:
            reader.read_into(name, at, piece.data)
        except StoreError as error:
            return [Fault(index, f"{error}, so block {index} is lost; restore the file from a copy")]
        crc = isal_zlib.crc32(piece, crc)
        ones += count_ones(piece)
    if crc != expected_crc or ones != expected or padding_used(piece, bits):
        return [_fault(reader, name, index, crc == expected_crc, ones, expected)]
    return []


def _fault(
    reader: BufferReader, name: str, index: int, crc_is_right: bool, ones: int, expected: int
) -> Fault:
    """Say what is wrong with a stretch: its CRC, or how many ones it has, or else its padding."""
    if not crc_is_right:
        sentence = (
            f"the CRC of block {index} in /{name} is wrong, so the file was damaged after it was recorded; restore it "
            "from a copy"
        )
    elif ones == expected:
        of = "the mask of " if name == "valid" else ""
        sentence = f"the padding of {of}block {index} is not zero"
    elif name == "valid":
        sentence = f"block {index} has {expected:,} bits of {ones:,} usable positions"
    else:
        sentence = f"block {index} has {ones:,} ones where its row says {expected:,}"
    return Fault(index, f"{reader.path}: {sentence}")

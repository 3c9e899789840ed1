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
    return _span(reader.rows[block - 1])[1] if block else 0


def _span(row: np.void) -> tuple[int, int]:
    first = int(row["first_byte"])
    return first, first + (int(row["bits"]) + 7) // 8


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
                found += _check_alone(reader, low + index, rows[index], memory, stop)
    for index in np.flatnonzero(rows["valid_offset"] >= 0):
        if stop.is_set():
            break
        found += _check_mask(reader, low + int(index), rows[index], memory, stop)
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
        if isal_zlib.crc32(view[start:end]) != crc:
            found.append(_crc_fault(reader, index, "bits"))
        elif counted != expected:
            found.append(_ones_fault(reader, index, counted, expected))
        elif bits % 8 and padding_used(data[start:end], bits):
            found.append(Fault(index, f"{reader.path}: the padding of block {index} is not zero"))
    return found


def _check_alone(
    reader: BufferReader, index: int, row: np.void, memory: np.ndarray, stop: threading.Event
) -> list[Fault]:
    """Check a block that is larger than a piece, or could not be read together with others."""
    begin, end = _span(row)
    found = _sums(reader, "bits", index, begin, end, memory, stop)
    if isinstance(found, Fault):
        return [found]
    crc, ones, last = found
    if stop.is_set():
        return []
    if crc != int(row["crc"]):
        return [_crc_fault(reader, index, "bits")]
    if ones != int(row["ones"]):
        return [_ones_fault(reader, index, ones, int(row["ones"]))]
    if padding_used(last, int(row["bits"])):
        return [Fault(index, f"{reader.path}: the padding of block {index} is not zero")]
    return []


def _check_mask(
    reader: BufferReader, index: int, row: np.void, memory: np.ndarray, stop: threading.Event
) -> list[Fault]:
    begin = int(row["valid_offset"])
    end = begin + (int(row["positions"]) + 7) // 8
    found = _sums(reader, "valid", index, begin, end, memory, stop)
    if isinstance(found, Fault):
        return [found]
    crc, usable, last = found
    if stop.is_set():
        return []
    if crc != int(row["valid_crc"]):
        return [_crc_fault(reader, index, "valid")]
    if usable != int(row["bits"]):
        sentence = f"block {index} has {int(row['bits']):,} bits of {usable:,} usable positions"
        return [Fault(index, f"{reader.path}: {sentence}")]
    if padding_used(last, int(row["positions"])):
        return [Fault(index, f"{reader.path}: the padding of the mask of block {index} is not zero")]
    return []


def _sums(
    reader: BufferReader,
    name: str,
    index: int,
    begin: int,
    end: int,
    memory: np.ndarray,
    stop: threading.Event,
) -> tuple[int, int, np.ndarray] | Fault:
    """Give (CRC, ones, last byte) of a stretch of a dataset, however long."""
    crc, ones = 0, 0
    piece: Any = memory[:0]
    for at in range(begin, end, _PIECE):
        if stop.is_set():
            break
        piece = memory[: min(_PIECE, end - at)]
        try:
            reader.read_into(name, at, piece.data)
        except StoreError as error:
            return Fault(index, f"{error}, so block {index} is lost; restore the file from a copy")
        crc = isal_zlib.crc32(piece, crc)
        ones += count_ones(piece)
    return crc, ones, piece[-1:].copy()


def _crc_fault(reader: BufferReader, index: int, name: str) -> Fault:
    return Fault(
        index,
        f"{reader.path}: the CRC of block {index} in /{name} is wrong, so the file was damaged after it was "
        "recorded; restore it from a copy",
    )


def _ones_fault(reader: BufferReader, index: int, counted: int, expected: int) -> Fault:
    return Fault(index, f"{reader.path}: block {index} has {counted:,} ones where its row says {expected:,}")

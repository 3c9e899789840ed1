"""A recording: blocks of bits going into one buffer after the other."""

import contextlib
import datetime
import logging
import os
import platform
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h5py
import numpy as np

from .._errors import StoreError
from ..arguments import Count, takes
from ..ledger import DRAWN, Ledger, now
from ..versions import installed_version
from ._actions import Changes, refuse_odd_actions
from ._block_facts import BlockFacts
from ._commanded import Commanded
from ._format import ACTION_DTYPE, BIT_ORDER, DRAWS_VERSION, FORMAT, FORMAT_VERSION, snapshot
from ._packed import count_ones, padding_used
from ._recording_plan import RecordingPlan
from ._writer import BufferWriter

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BlockCommit:
    """What became of an appended block: where it is, and what was counted on the way."""

    buffer: str
    index: int
    first_bit: int
    bits: int
    ones: int
    crc: int


class Recording:
    """The one writer of a recording; made by `Store.record`, a context manager, safe to use from several threads.

    Each segment is a buffer of its own; a new one begins where `rotate_bytes` would be exceeded. A block
    that `append` returned from is committed: it survives `kill -9`. It also survives a power cut once it is
    on the disk, where a thread puts it every `durable` seconds (None: when the operating system likes) beside
    the appends, which do not wait for it. Leaving the recording closes the last buffer, by an exception too,
    since what is committed is good.

    Where the plan has `actions`, changes of the trims are kept with the blocks; each segment begins with the sum of
    those before.
    """

    def __init__(
        self, folder: Path, ledger: Ledger, enter: Callable[[str], None], plan: RecordingPlan
    ) -> None:
        self.uuid = str(uuid.uuid4())
        self.plan = plan
        self.bits = 0
        self.blocks = 0
        self._folder = folder
        self._ledger = ledger
        self._enter = enter
        self._segment = 0
        self._snapshots = _snapshots(plan)
        self._changed = Changes() if plan.actions else None
        self._closed = False
        self._pid = os.getpid()
        # reentrant, so that a signal handler that closes the recording in the middle of an append cannot hang
        self._mutex = threading.RLock()
        self._mark = ledger.liveness.hold("writer", self.uuid)
        try:
            # draws are none that others could have
            ledger.begin_recording(self.uuid, 0 if plan.drawn else plan.expected_bits)
            self._begin_segment(0)
        except BaseException:
            self._mark.release(remove=True)
            raise

    @property
    def buffer(self) -> str:
        """The uuid of the buffer that is being written."""
        return self._buffer

    @takes(count=Count(), ones=Count())
    def append(
        self,
        bits: np.ndarray,
        count: int,
        facts: BlockFacts,
        *,
        valid: np.ndarray | None = None,
        ones: int | None = None,
        actions: np.ndarray | None = None,
        commanded: Commanded | None = None,
    ) -> BlockCommit:
        """Commit one block.

        `bits`: packed uint8, `count` usable bits, first bit most significant, padded with zeros; `valid`:
        packed mask of the same order over all positions, None where all are usable. `ones`: how many of the bits are 1,
        where the health tests have counted them; counted here otherwise. `actions`: ACTION_DTYPE, what was changed
        of the trims since the block before, so that this one is the first made with it; `block` and `row_crc` are
        filled in here. `commanded`: of draws, by position, where the plan says that they come.

        Raises ValueError where these contradict each other, StoreError where the disk takes no more (what was
        committed before stays intact), or another program has cut short, replaced or written into the buffer.
        """
        cells = len(self.plan.cells)
        bits, valid = _checked(bits, count, valid, facts.positions, cells)
        row = facts.row()
        row["bits"] = count
        row["health"] |= DRAWN if self.plan.drawn else 0
        row["ones"] = ones = count_ones(bits) if ones is None else ones
        if ones > count:
            raise ValueError(f"{count} bits cannot hold {ones} ones")
        changed = np.empty(0, ACTION_DTYPE) if actions is None else actions
        if len(changed) and self._changed is None:
            raise ValueError("a recording that has actions is made with actions=True")
        refuse_odd_actions(changed, cells)
        if (commanded is not None) != self.plan.commanded:
            raise ValueError("a recording with commanded=True, and none else, has them for every block")
        asked = None if commanded is None else commanded.packed()
        if asked is not None and len(asked) != 1 + facts.positions:
            raise ValueError(f"{len(asked) - 1} probabilities are not those of {facts.positions} positions")
        with self._used():
            return self._commit(bits, valid, row, changed, asked)

    def _commit(
        self,
        bits: np.ndarray,
        valid: np.ndarray | None,
        row: np.ndarray,
        actions: np.ndarray,
        asked: np.ndarray | None,
    ) -> BlockCommit:
        if self._writer.blocks and self._writer.bytes + len(bits) > self.plan.rotate_bytes:
            self._end_segment()
            self._begin_segment(self._segment + 1)
        writer = self._writer
        first = writer.bits
        if self._changed is None:
            writer.append(bits, valid, row, commanded=asked)
        else:
            before = np.empty(0, ACTION_DTYPE) if writer.blocks else self._changed.rows()
            writer.append(bits, valid, row, np.concatenate([before, actions]), asked)
            self._changed.add(actions)
        count, ones, crc = (int(row[name][0]) for name in ("bits", "ones", "crc"))
        self.bits += count
        self.blocks += 1
        return BlockCommit(self._buffer, writer.blocks - 1, first, count, ones, crc)

    def append_resistances(self, resistances: np.ndarray) -> int:
        """Keep raw readings (ohm, any shape) while there is room; returns how many were kept.

        Room is the plan's `resistances` readings in every segment: a sample for figures.
        """
        with self._used():
            return self._writer.append_resistances(resistances)

    def close(self) -> None:
        """Close the last buffer once an append in another thread is through; harmless when repeated."""
        if self._pid != os.getpid():
            return  # the parent's to close
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            try:
                self._end_segment()
                with contextlib.suppress(StoreError):  # a lock that is free says the same
                    self._ledger.end_recording(self.uuid)
            finally:
                self._mark.release(remove=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        """Hold the recording for one thread; raises StoreError where it is closed or another process's."""
        # asked first: in a forked child a thread that is not there may hold the lock for ever
        if self._pid != os.getpid():
            raise StoreError(
                f"recording {self.uuid} belongs to the parent process: start this one anew (the start method "
                "'spawn') and record there"
            )
        with self._mutex:
            if self._closed:
                raise StoreError(f"recording {self.uuid} is closed: start a new one")
            yield

    def _begin_segment(self, segment: int) -> None:
        buffer = str(uuid.uuid4())
        created = now()
        stamp = datetime.datetime.fromisoformat(created).strftime("%Y%m%dT%H%M%SZ")
        name = f"{stamp}-{self.uuid[:8]}-{segment:04d}.h5"
        attributes = {
            "format": np.bytes_(FORMAT),
            "format_version": np.uint32(DRAWS_VERSION if self.plan.drawn else FORMAT_VERSION),
            "buffer": np.bytes_(buffer),
            "recording": np.bytes_(self.uuid),
            "segment": np.uint32(segment),
            "created": np.bytes_(created),
            "complete": np.uint8(0),
            "simulated": np.uint8(bool(self.plan.simulated)),
            "cells_per_pulse": np.uint32(len(self.plan.cells)),
            "conditioning": np.bytes_("none"),
            "bit_order": np.bytes_(BIT_ORDER),
            **self._snapshots,
        }
        writer = BufferWriter(
            self._folder / name, attributes, self.plan.cells, self.plan.resistances, self.plan.durable,
            tuning=self.plan.tuning, actions=self.plan.actions, commanded=self.plan.commanded,
        )  # fmt: skip
        try:
            self._ledger.register(
                {
                    "uuid": buffer, "file": name, "recording": self.uuid, "segment": segment,
                    "created": created, "simulated": bool(self.plan.simulated), "conditioning": "none",
                }
            )  # fmt: skip
        except BaseException:
            with contextlib.suppress(StoreError):
                writer.close()
            raise
        self._writer, self._buffer, self._segment = writer, buffer, segment

    def _end_segment(self) -> None:
        self._writer.close()
        try:
            self._enter(self._buffer)
        except StoreError as error:  # whoever opens the store next enters them from the file
            _log.warning("the rows of %s wait for the next opening: %s", self._writer.path, error)


def _checked(
    bits: np.ndarray, count: int, valid: np.ndarray | None, positions: int, cells: int
) -> tuple[np.ndarray, np.ndarray | None]:
    bits = np.ascontiguousarray(bits)
    if bits.dtype != np.uint8 or bits.shape != ((count + 7) // 8,) or count < 0:
        raise ValueError(f"{count} bits are {(count + 7) // 8} packed uint8, not {bits.dtype} {bits.shape}")
    if padding_used(bits, count):
        raise ValueError("the padding after the last bit must be zeros")
    if positions % cells or positions < 0:
        raise ValueError(f"{positions} positions are not whole pulses of {cells} cells")
    if valid is None:
        if positions != count:
            raise ValueError(f"{count} of {positions} positions are usable, so `valid` must say which")
        return bits, None
    valid = np.ascontiguousarray(valid)
    if valid.dtype != np.uint8 or valid.shape != ((positions + 7) // 8,):
        raise ValueError(f"the mask of {positions} positions is {(positions + 7) // 8} packed uint8")
    if padding_used(valid, positions):
        raise ValueError("the padding after the last position of the mask must be zeros")
    if count_ones(valid) != count:
        raise ValueError(f"the mask marks {count_ones(valid)} usable positions and there are {count} bits")
    return bits, None if count == positions else valid


def _snapshots(plan: RecordingPlan) -> dict[str, np.bytes_]:
    snapshots = {
        "bench": snapshot("bench", dict(plan.bench)),
        "procedure": snapshot("procedure", dict(plan.procedure)),
        "device": snapshot("device", plan.device),
        "software": snapshot("software", _software()),
    }
    if plan.tuning is not None:
        snapshots["tuning"] = snapshot("tuning", dict(plan.conditions or {}))
    return snapshots


def _software() -> dict[str, str]:
    return {
        "memtj": installed_version("memtj") or "unknown",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "hdf5": h5py.version.hdf5_version,
    }

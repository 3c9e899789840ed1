"""An acquisition of the simulated board: a thread makes blocks ahead of the host, into a bounded FIFO."""

import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from mock_hw._array import Run, Sequence, SimulatedArray, Trims, stream_words
from mock_hw._clock import Clock, IdleTime

MAGIC = b"MTJB"
HEADER = struct.Struct("<4sHHQQIIdQIIII")
MASKED, RESISTANCES, TOGGLE, STALLED, SIMULATED, LAST = (1 << bit for bit in range(6))
FIFO_BYTES = 32 << 20
FIFO_BLOCKS = 256
# The payload starts here in a block's buffer: room before it for the block's own header, and aligned for
# words.
_HEADER_AT = 64
_DATA_AT = _HEADER_AT + HEADER.size


@dataclass(frozen=True)
class Plan:
    """What one acquisition does; `count` pulses (0 = without end), `block` pulses in a block.

    `to_the_moment`: the array has forgotten for all the time that it was left alone, not for the whole seconds of it.
    """

    sequence: Sequence
    count: int
    block: int
    resistances: bool
    to_the_moment: bool = False


def fifo_capacity(positions: int, resistances: bool) -> int:
    """Blocks of `positions` positions that the FIFO holds: at least 2."""
    size = _DATA_AT + positions * (4 if resistances else 0.125) + positions / 8
    return int(max(2, min(FIFO_BLOCKS, FIFO_BYTES // size)))


class _Buffers:
    """Memory for the blocks of one acquisition, used again when nobody holds the block any more.

    The system clears the pages of new memory before it gives them, which takes as long as sending what is in them.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._free: deque[NDArray[np.uint8]] = deque()

    def get(self) -> tuple[memoryview, NDArray[np.uint8]]:
        """Some memory, as a view that keeps it in use and as an array; what it holds is left from before."""
        try:
            whole = self._free.pop()
        except IndexError:
            whole = np.zeros(self._size, np.uint8)
        held = whole[:]
        weakref.finalize(held, self._free.append, whole).atexit = False
        return held.data, whole


class NoAcquisition:
    """What a board has before its first acquisition: nothing to stop, nothing to fetch."""

    state, pulsing, stalls, blocks = "IDLE", False, (0, 0.0), 0

    def retrim(self, voltage: NDArray[np.float64], trims: Trims) -> None:
        """There is no next block."""

    def abort(self) -> None:
        """Nothing runs."""

    def take(self, seconds: float) -> memoryview | None:
        """No block will come."""
        return None


class Acquisition:
    """Makes blocks until its count is reached or `abort` is called.

    Each block is a `memoryview` of the complete answer to `FETCh?`: definite-length block and line feed.
    `condition` is the board's; it is notified whenever a block is there or the thread has ended. `capacity`
    says how many blocks the FIFO holds now; `idle` how long the array has rested before; `ended` is called,
    with the condition held, when the array is free again, and `failed` with a sentence where it cannot go on.
    """

    def __init__(
        self,
        array: SimulatedArray,
        plan: Plan,
        condition: threading.Condition,
        *,
        clock: Clock,
        idle: IdleTime,
        capacity: Callable[[], int],
        ended: Callable[[], None],
        failed: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._idle = idle
        self._plan = plan
        self._changed = condition
        self._fifo: deque[memoryview] = deque()
        self._capacity = capacity
        self._ended = ended
        self._failed = failed
        self._pulses_done = 0
        self._sequence_number = 0
        self._aborted = False
        self._complete = False  # its last block is in the FIFO
        self._finished = False
        self._stalls = 0
        self._stalled = 0.0
        self._retrimmed: tuple[NDArray[np.float64], Trims] | None = None  # for the next block
        self._generation = self._trim_changes = 0
        self._rested = 0.0  # of those seconds, what the array has been told
        self._stalled_since: float | None = None
        clock.begin()
        threading.Thread(target=self._main, args=(array,), name="array-board-pulses", daemon=True).start()

    # The properties and methods down to `take` are for holders of the board's condition.

    @property
    def state(self) -> str:
        """`IDLE`, `RUN` or `STALL`; idle before the last block can be fetched, as the page promises."""
        if self._aborted or self._complete or self._finished:
            return "IDLE"
        return "RUN" if self._stalled_since is None else "STALL"

    @property
    def pulsing(self) -> bool:
        """Whether the thread still holds the array (for a few milliseconds after its last block, or an abort)."""
        return not self._finished

    @property
    def stalls(self) -> tuple[int, float]:
        """Number of stalls and seconds stalled."""
        now = 0.0 if self._stalled_since is None else time.monotonic() - self._stalled_since
        return self._stalls, self._stalled + now

    @property
    def blocks(self) -> int:
        """Blocks in the FIFO."""
        return len(self._fifo)

    def retrim(self, voltage: NDArray[np.float64], trims: Trims) -> None:
        """Make the next block that is begun with other volts (trims included) and other trims."""
        self._retrimmed = voltage, trims
        self._trim_changes += 1

    def abort(self) -> None:
        """End at once; complete blocks stay in the FIFO, the running one is discarded."""
        self._aborted = True
        self._changed.notify_all()

    def take(self, seconds: float) -> memoryview | None:
        """The oldest block, waiting for one while the acquisition runs."""
        deadline = time.monotonic() + seconds
        while not self._fifo:
            left = deadline - time.monotonic()
            if left <= 0 or self.state == "IDLE":
                return None
            self._changed.wait(left)
        block = self._fifo.popleft()
        self._changed.notify_all()
        return block

    # From here on: the thread.

    def _main(self, array: SimulatedArray) -> None:
        try:
            # Here and not in the constructor: it takes a while for a large array, and the board must stay
            # responsive.
            seq = self._plan.sequence
            array.rest(
                self._idle.take(whole=not self._plan.to_the_moment),
                powered=seq.field_on,
                temperature=seq.temperature,
                hold=seq.hold,
                nearly=self._plan.to_the_moment,
            )
            run = Run(array, seq, once=self._plan.count == 1)
            try:
                self._make_blocks(run)
            finally:
                run.end()
        except ValueError as error:
            # The model of the device does not go as far as these settings, or as the drift has taken them.
            self._failed(str(error))
        finally:
            with self._changed:
                self._clock.end()
                self._idle.used()
                self._finished = True
                self._ended()
                self._changed.notify_all()

    def _make_blocks(self, run: Run) -> None:
        positions = self._block_pulses() * run.cells
        payload = 4 * positions if self._plan.resistances else 8 * stream_words(positions)
        buffers = _Buffers(_DATA_AT + payload + 8 * stream_words(positions))
        while True:
            with self._changed:
                stalled = self._wait_for_room()
                if self._aborted:
                    return
                retrimmed, self._retrimmed = self._retrimmed, None
                self._generation = self._trim_changes
            if stalled:
                self._let_forget(run)
            if retrimmed is not None:
                run.retrim(*retrimmed)
            block = self._make_block(run, buffers, stalled)
            with self._changed:
                if self._aborted or block is None:
                    return
                self._fifo.append(block)
                self._sequence_number += 1
                self._complete = self._pulses_done == self._plan.count
                self._changed.notify_all()
                if self._complete:
                    return

    def _wait_for_room(self) -> bool:
        if self._aborted or len(self._fifo) < self._capacity():
            return False
        self._stalls += 1
        self._stalled_since = time.monotonic()
        self._clock.end()
        while not self._aborted and len(self._fifo) >= self._capacity():
            self._changed.wait()
        self._clock.begin()
        self._stalled += time.monotonic() - self._stalled_since
        self._stalled_since = None
        return True

    def _let_forget(self, run: Run) -> None:
        """Time goes on for the array too while the board stalls, in whole seconds as for `IdleTime`."""
        owed = int(self._stalled - self._rested)
        if owed:
            self._rested += owed
            run.rest(owed)

    def _block_pulses(self) -> int:
        left = self._plan.count - self._pulses_done
        return self._plan.block if self._plan.count == 0 else min(self._plan.block, left)

    def _go_on(self) -> bool:
        return not self._aborted

    def _advance(self, pulses: int) -> None:
        self._clock.spend(pulses * self._plan.sequence.seconds_per_pulse, self._go_on)

    def _make_block(self, run: Run, buffers: _Buffers, stalled: bool) -> memoryview | None:
        """One block, or None when it was aborted on the way."""
        pulses, started = self._block_pulses(), self._clock.due()
        positions = pulses * run.cells
        packed, words = -(-positions // 8), stream_words(positions)
        flags = SIMULATED | (STALLED if stalled else 0)
        held, buffer = buffers.get()
        in_place = run.whole_words and not self._plan.resistances
        end = _DATA_AT + (4 * positions if self._plan.resistances else packed)
        valid = buffer[end : end + 8 * words].view(np.uint64) if in_place else np.zeros(words, np.uint64)
        if self._plan.resistances:
            flags |= RESISTANCES
            made = run.resistances(pulses, valid, go_on=self._go_on, advance=self._advance)
            if made is None:
                return None
            readings, failed = made
            buffer[_DATA_AT:end] = readings.astype("<f4", copy=False).view(np.uint8)
        else:
            bits = buffer[_DATA_AT : _DATA_AT + 8 * words].view(np.uint64)
            if not run.whole_words:
                bits[:] = 0
            failed = run.bits(pulses, bits, valid, go_on=self._go_on, advance=self._advance)
            if failed is None:
                return None
        self._pulses_done += pulses
        if failed or not run.all_used:
            flags |= MASKED
            if not in_place:
                buffer[end : end + packed] = valid.view(np.uint8)[:packed]
            end += packed
        flags |= TOGGLE if self._plan.sequence.toggle else 0
        flags |= LAST if self._pulses_done == self._plan.count else 0
        counts = (positions, run.cells, pulses)
        return self._frame(held, end, counts, started, failed, flags)

    def _frame(
        self,
        whole: memoryview,
        end: int,
        counts: tuple[int, int, int],
        started: float,
        failed: int,
        flags: int,
    ) -> memoryview:
        """Put the headers around the payload that lies in `whole` up to `end`."""
        fields = (
            *(MAGIC, 1, HEADER.size, self._sequence_number, *counts, started),
            *(failed, flags, self._stalls, self._generation),
        )
        HEADER.pack_into(whole, _HEADER_AT, *fields, 0)
        crc = isal_zlib.crc32(whole[_DATA_AT:end], isal_zlib.crc32(whole[_HEADER_AT : _DATA_AT - 4]))
        HEADER.pack_into(whole, _HEADER_AT, *fields, crc)
        size = str(end - _HEADER_AT).encode()
        prefix = b"#%d%s" % (len(size), size)
        start = _HEADER_AT - len(prefix)
        whole[start:_HEADER_AT] = prefix
        whole[end] = 10
        return whole[start : end + 1]

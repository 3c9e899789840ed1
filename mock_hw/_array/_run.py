"""The pulses that change a simulated array, and what is read after them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mock_hw import _draws
from mock_hw._array._array import SimulatedArray
from mock_hw._array._laws import Laws
from mock_hw._array._sequence import Sequence, Trims

# Positions drawn between two looks at whether to stop: a few milliseconds.
_CHUNK = 1 << 22
# The cells' laws follow drift and wear in steps: often enough for processes of minutes, seldom enough that a large
# array is not held up by it. Pulses, and seconds of board time.
_STEP_PULSES = 1 << 16
_SHORTEST_STEP, _LONGEST_STEP = 1.0, 60.0
# Readings in ohms show slow noise itself: steps as short as its fastest process.
_READING_STEP = 1e-3


class Run:
    """One run of pulses under one sequence; `end` gives the cells' state back to the array.

    The array's seed, and how many runs and readings it has had before, decide the draws.

    Bits come time-major, then row, then column, as `numpy.packbits` packs them.
    """

    def __init__(self, array: SimulatedArray, sequence: Sequence, *, once: bool = False) -> None:
        self._array = array
        # One pulse without a reset: of a cell's two laws only that of the state which it starts from is ever used.
        self._once = once and sequence.toggle and sequence.coded
        self._sequence = sequence
        self._key = array.next_key()
        self._pulse = 0
        self.cells = sequence.selection.cells
        mask = sequence.selected(sequence.mask)
        self._used = _draws.pack_lanes(mask)
        self.all_used = bool(mask.all())
        self.can_be_invalid = not (sequence.toggle and self.all_used)
        self.whole_words = (
            self.cells % 64 == 0
        )  # so that what the streams of `bits` held before does not matter
        self._passed = 0  # pulses whose time and wear the device has been told of
        self._seconds = sequence.seconds_per_pulse
        self._laws = Laws(array, sequence, once=self._once)
        if self._once:
            self._forget_at_once()
        self._state = _draws.pack_lanes(sequence.selected(array.antiparallel))
        self._refresh()

    def _forget_at_once(self) -> None:
        """Draw what forgets before the pulse, so that its law need not hold for both states."""
        before = self._array.antiparallel
        chance = np.where(before.ravel(), self._laws.forget[1], self._laws.forget[0])
        draws = np.random.default_rng([int(key) for key in self._key]).random(len(chance))
        now = before ^ ((draws < chance).reshape(before.shape) & self._sequence.mask)
        self._array.put(self._sequence.selection, self._sequence.selected(now))
        self._laws.forget = np.zeros_like(chance), np.zeros_like(chance)

    def _refresh(self) -> None:
        self._refreshed = self._pulse
        self._laws.refresh()

    def _tell_device(self) -> None:
        """Time and wear of the pulses since the last time."""
        seq, device = self._sequence, self._array.device
        pulses, self._passed = self._pulse - self._passed, self._pulse
        if not pulses:
            return
        device.advance(pulses * self._seconds)
        pulsed = np.zeros((self._array.rows, self._array.columns), bool)
        pulsed[seq.selection.rectangle] = True
        pulsed &= seq.mask
        # About every other pulse of a toggle starts from AP; after a reset hardly any does.
        later = pulses // 2 if seq.toggle and seq.trims.by_state else 0
        for state, share in ((False, pulses - later), (True, later)):
            if share:
                device.wear(share, np.where(pulsed.ravel(), seq.write_pulse(state)[0], 0.0))
        if not seq.toggle:
            # About every other outcome is antiparallel and needs a reset.
            device.wear(pulses // 2, np.where(pulsed, seq.reset_voltage, 0.0).ravel())

    def _step(self, longest: float) -> int:
        """Pulses between two refreshes, of at most `longest` seconds."""
        seconds = max(self._seconds, 1e-12)
        pulses = max(_STEP_PULSES, _SHORTEST_STEP / seconds)
        return max(1, int(min(pulses, longest / seconds)))

    def bits(
        self,
        pulses: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        *,
        go_on: Callable[[], bool] = lambda: True,
        advance: Callable[[int], None] = lambda _: None,
    ) -> int | None:
        """Apply `pulses` pulses; the packed outcomes go to `out`, their validity to `valid`.

        Both are uint64 streams, one word longer than needed (zeros, unless `whole_words`), and hold `numpy.packbits`
        bytes afterwards. `valid` is left alone where nothing can be invalid (toggle, no cell masked). `go_on` is
        asked now and then, `advance` told the pulses done. Returns the failed resets, None when stopped.
        """
        return self._pulses(pulses, out, valid, "read", self._step(_LONGEST_STEP), go_on, advance)

    def resistances(
        self,
        pulses: int,
        valid: NDArray[np.uint64],
        *,
        go_on: Callable[[], bool] = lambda: True,
        advance: Callable[[int], None] = lambda _: None,
    ) -> tuple[NDArray[np.float32], int] | None:
        """Apply pulses, read in ohms: float32 (pulses · cells,), NaN where invalid, and failed resets."""
        states = np.zeros(len(valid), np.uint64)
        count, step, failed = pulses * self.cells, self._step(_READING_STEP), 0
        readings = np.empty(count, np.float32)

        def read(begin: int, end: int) -> None:
            at = slice(begin * self.cells, end * self.cells)
            packed = states.view(np.uint8)[at.start >> 3 : (at.stop + 7) >> 3]
            antiparallel = np.unpackbits(packed)[at.start & 7 :][: at.stop - at.start] != 0
            first = (self._pulse - (end - begin)) * self.cells
            readings[at] = self._laws.readout.readings(antiparallel, self._key, first)

        failed = self._pulses(pulses, states, valid, "look", step, go_on, advance, read)
        if failed is None:
            return None
        if self.can_be_invalid:
            readings[np.unpackbits(valid.view(np.uint8), count=count) == 0] = np.nan
        return readings, failed

    def retrim(self, voltage: NDArray[np.float64], trims: Trims) -> None:
        """Go on with other volts (trims included) and other trims, from the next pulse on.

        The law of the write pulse follows the device as well; that of the rest does at the next step, as without it.
        """
        self._tell_device()
        self._sequence = replace(self._sequence, voltage=voltage, trims=trims)
        self._laws.retrim(self._sequence)

    def end(self) -> None:
        """Give the state of the cells back to the array, and the time that has passed to the device."""
        self._tell_device()
        self._give_back()
        array, seq = self._array, self._sequence
        left = np.ones((array.rows, array.columns), bool)
        left[seq.selection.rectangle] = ~seq.mask[seq.selection.rectangle]
        if left.any() and self._pulse:
            seconds = self._pulse * self._seconds
            array.decay(left, seconds, seq.field_on, seq.temperature, seq.field, seq.hold)

    def rest(self, seconds: float) -> None:
        """Let time pass between two pulses, as while the board stalls."""
        self._tell_device()
        self._give_back()
        seq = self._sequence
        self._array.rest(
            seconds, powered=seq.field_on, temperature=seq.temperature, field=seq.field, hold=seq.hold
        )
        self._state = _draws.pack_lanes(seq.selected(self._array.antiparallel))
        self._refresh()

    def _give_back(self) -> None:
        self._array.put(self._sequence.selection, _draws.unpack_lanes(self._state, self.cells))

    def _pulses(
        self,
        pulses: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        outcome: str,
        step: int,
        go_on: Callable[[], bool],
        advance: Callable[[int], None],
        done_some: Callable[[int, int], None] = lambda begin, end: None,
    ) -> int | None:
        failed, done = 0, 0
        most = max(1, _CHUNK // self.cells)
        while done < pulses:
            if not go_on():
                return None
            # At pulses that do not depend on how the run is cut into blocks.
            if self._pulse - self._refreshed >= step:
                self._tell_device()
                self._refresh()
            now = min(most, pulses - done, self._refreshed + step - self._pulse)
            failed += self._chunk(now, done * self.cells, out, valid, getattr(self._laws, outcome))
            self._pulse += now
            done += now
            done_some(done - now, done)
            advance(now)
        return failed

    def _chunk(
        self,
        pulses: int,
        position: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        outcome: _draws.Law,
    ) -> int:
        start = (self._state, self._used, self.cells, pulses, self._pulse, position, *self._key, out)
        laws = self._laws
        write = (laws.write.planes, laws.write.sure, laws.write.unsure)
        seen = (outcome.planes, outcome.sure, outcome.unsure)
        if self._sequence.toggle:
            _draws.toggle(*start, *write, *seen)
            if self.can_be_invalid:
                _draws.repeat(self._used, self.cells, pulses, position, valid)
            return 0
        reset = (laws.reset.planes, laws.reset.sure, laws.reset.unsure)
        read = (laws.read.planes, laws.read.sure, laws.read.unsure)
        return _draws.reset_write(*start, valid, *write, *reset, *read, *seen)


def stream_words(bits: int) -> int:
    """Length in words of the uint64 stream that `Run.bits` needs for `bits` positions."""
    return -(-bits // 64) + 1

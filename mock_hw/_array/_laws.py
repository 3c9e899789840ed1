"""The laws of a run: with what chances a pulse and the readings after it change each cell, and what they show of it."""

import numpy as np
from scipy.special import ndtr

from mock_hw import _draws
from mock_hw._array._array import Readout, SimulatedArray, forgetting
from mock_hw._array._sequence import Sequence
from mock_hw._device import Floats

_NEVER = 1e-18  # a probability that no law of 2⁻³² shows


class Laws:
    """What one pulse of a sequence does, as the device was at the last `refresh`; to be refreshed before use.

    `read`, `reset`, `write` and `look` (a reading without an error) are to be drawn from; `forget` are chances to be
    found in the other state between two pulses, from P and from AP, (cells,). With `once` the write pulse's law is that
    of the state in which each cell is now.
    """

    readout: Readout
    read: _draws.Law
    reset: _draws.Law
    write: _draws.Law

    def __init__(self, array: SimulatedArray, sequence: Sequence, *, once: bool) -> None:
        self._array, self._sequence, self._once = array, sequence, once
        # Between two pulses of a cell it may forget by itself, more easily while it is read; with a reset there are
        # two pulses, and two readings, in the time of one.
        turn = sequence.seconds_per_pulse / (1 if sequence.toggle else 2)
        rest = self._forgetting(sequence.hold, max(turn - sequence.settle, 0.0))
        self.forget = after(rest, self._forgetting(sequence.read_voltage, sequence.settle))
        cells = sequence.selection.cells
        self.look = _draws.Law.from_probabilities(np.zeros(cells), np.ones(cells))

    def _forgetting(self, volts: float, seconds: float) -> tuple[Floats, Floats]:
        seq = self._sequence
        rates = self._array.escape_rates(seq.temperature, seq.field, seq.field_on, volts, nearly=seq.coded)
        return forgetting(*rates, seconds)

    def refresh(self) -> None:
        """Take the laws from the device as it is now."""
        seq, device = self._sequence, self._array.device
        self.readout = Readout(device, seq, after_pulse=True)
        thresholds = seq.selected(device.compared(seq.thresholds.ravel()))
        above = [
            ndtr((level - thresholds) / noise)
            for level, noise in zip(self.readout.levels, self.readout.noise, strict=True)
        ]
        self.read = _draws.Law.from_probabilities(above[0], above[1])
        # The board goes by the last reading, which may be wrong: chances to read AP, of all cells.
        seen = np.zeros((2, self._array.rows, self._array.columns))
        where = seen[:, *seq.selection.rectangle]
        where[:] = np.reshape(above, where.shape)
        self._seen_high = seen.reshape(2, -1)
        if not seq.toggle:
            reset = np.where(seq.mask.ravel(), seq.reset_voltage, 0.0)
            self.reset = self._law(*(self._flip(reset, seq.reset_width, state) for state in (False, True)))
        self._take_write_law()

    def retrim(self, sequence: Sequence) -> None:
        """Go on with other volts and trims: the law of the write pulse is taken from the device as it is now."""
        self._sequence = sequence
        self._take_write_law()

    def _take_write_law(self) -> None:
        """Take the law of the write pulse: what trims change."""
        seq = self._sequence
        if seq.coded:  # whatever was read last, the pulse is the same
            volts, width = seq.write_pulse(False)
            volts = np.where(seq.mask.ravel(), volts, 0.0)
            high = self._array.antiparallel.ravel()
            both = [np.where(high == state, volts, 0.0) if self._once else volts for state in (False, True)]
            self.write = self._law(*(self._flip(both[state], width, bool(state)) for state in (0, 1)))
            return
        switching = np.zeros((2, self._array.device.cells))
        for state, high in enumerate(self._seen_high):
            for antiparallel, chance in ((False, 1 - high), (True, high)):
                volts, width = self._sequence.write_pulse(antiparallel)
                # No pulse never switches a cell, and costs nothing to know; a masked cell gets none.
                volts = np.where((chance > _NEVER) & self._sequence.mask.ravel(), volts, 0.0)
                switching[state] += chance * self._flip(volts, width, bool(state))
        self.write = self._law(*switching)

    def _flip(self, voltage: Floats, width: Floats | float, state: bool) -> Floats:
        seq = self._sequence
        return self._array.device.switching_probability(voltage, width, seq.temperature, seq.field, state)

    def _law(self, from_parallel: Floats, from_antiparallel: Floats) -> _draws.Law:
        flips = after(self.forget, (from_parallel, from_antiparallel))
        return _draws.Law.from_probabilities(*(self._sequence.selected(each) for each in flips))


def after(first: tuple[Floats, Floats], then: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Probabilities to be found in the other state, from P and from AP, after two such steps."""
    (a, b), (p, q) = first, then
    return p + a * (1 - p - q), q + b * (1 - p - q)

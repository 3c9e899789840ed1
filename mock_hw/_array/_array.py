"""The state of a simulated array, and what time makes of it. Knows nothing of SCPI, boxes or wires."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mock_hw import _draws
from mock_hw._arguments import Count, Real, takes
from mock_hw._array._sequence import Selection, Sequence
from mock_hw._device import Device, Floats

_NEAR = 0.02  # K, in which a rate changes by less than 2e-3
_MOST_RATES = 8


class SimulatedArray:
    """Cells with a magnetisation that stays: it survives `*RST` and a power cycle of the board around it.

    The initial state is random. Not safe for use by several threads at once.
    """

    @takes(rows=Count(1), columns=Count(1), seed=Count())
    def __init__(self, device: Device, rows: int, columns: int, seed: int) -> None:
        if device.cells != rows * columns:
            raise ValueError(f"the device has {device.cells} cells, not {rows} × {columns}")
        self.device = device
        self.rows = rows
        self.columns = columns
        self._seed = seed
        self._epoch = 0
        self._rests = 0
        # Of draws, which are too short to ask anew for each: temperature offset, and rates from P and from AP.
        self._rates: dict[tuple[float, float, bool, float], tuple[float, tuple[Floats, Floats]]] = {}
        self._antiparallel = np.random.default_rng([seed, 0x57A7E]).random((rows, columns)) < 0.5

    @property
    def antiparallel(self) -> NDArray[np.bool_]:
        """The magnetisation, a copy: bool (rows, columns), True = AP."""
        return self._antiparallel.copy()

    @takes(seconds=Real(), temperature=Real(above=0), field=Real(), hold=Real())
    def rest(
        self,
        seconds: float,
        *,
        powered: bool = True,
        temperature: float = 300.0,
        field: float = 0.0,
        hold: float = 0.0,
        nearly: bool = False,
    ) -> None:
        """Let `seconds` pass without pulses at `hold` volts: retention and drift act.

        Where the lab's magnet is not `powered` there is no applied field.
        """
        if seconds <= 0:
            return
        self.device.advance(seconds)
        everywhere = np.ones((self.rows, self.columns), bool)
        self.decay(everywhere, seconds, powered, temperature, field, hold, nearly=nearly)

    @takes(temperature=Real(above=0), field=Real(), voltage=Real())
    def escape_rates(
        self, temperature: float, field: float, powered: bool, voltage: float, *, nearly: bool = False
    ) -> tuple[Floats, Floats]:
        """Rates in 1/s at which each cell leaves P and AP; where `nearly`, of within 0.02 K of the temperature."""
        key, offset = (temperature, field, powered, voltage), self.device.temperature_offset
        kept = self._rates.get(key)
        if nearly and kept is not None and abs(offset - kept[0]) < _NEAR:
            return kept[1]
        rates = [
            self.device.retention_rate(temperature, field, state, powered=powered, voltage=voltage)
            for state in (False, True)
        ]
        if nearly:
            if len(self._rates) >= _MOST_RATES:
                self._rates.clear()
            self._rates[key] = offset, (rates[0], rates[1])
        return rates[0], rates[1]

    @takes(seconds=Real(), temperature=Real(above=0), field=Real(), hold=Real())
    def decay(
        self,
        where: NDArray[np.bool_],
        seconds: float,
        powered: bool,
        temperature: float,
        field: float,
        hold: float = 0.0,
        *,
        nearly: bool = False,
    ) -> None:
        """Let the magnetisation of the cells in `where` (rows, columns) forget for `seconds` at `hold` volts."""
        rates = self.escape_rates(temperature, field, powered, hold, nearly=nearly)
        flips = forgetting(rates[0], rates[1], seconds)
        probability = np.where(self._antiparallel.ravel(), flips[1], flips[0])
        # A counter of its own: what the next run draws does not depend on how often there was a rest.
        self._rests += 1
        draws = np.random.default_rng([self._seed, 0x4E57, self._rests]).random(len(probability))
        chosen = draws < probability
        self._antiparallel ^= chosen.reshape(self._antiparallel.shape) & where

    def save(self) -> dict[str, NDArray]:
        """Everything that outlives a restart of the lab, as arrays for `numpy.savez`."""
        return {
            "antiparallel": np.packbits(self._antiparallel),
            "epoch": np.array([self._epoch, self._rests]),
            "shape": np.array([self.rows, self.columns]),
            **{f"device_{name}": value for name, value in self.device.save().items()},
        }

    def load(self, saved: Mapping[str, NDArray]) -> None:
        """Take over what `save` gave; raises ValueError (one sentence) where it is of another array."""
        if tuple(saved["shape"]) != (self.rows, self.columns):
            raise ValueError(f"it holds {saved['shape'][0]} × {saved['shape'][1]} cells")
        mine = {name[7:]: value for name, value in saved.items() if name.startswith("device_")}
        self.device.load(mine)
        count = self.rows * self.columns
        state = np.unpackbits(saved["antiparallel"], count=count).astype(bool)
        self._antiparallel = state.reshape(self.rows, self.columns)
        self._epoch, self._rests = (int(count) for count in saved["epoch"])

    def next_key(self) -> tuple[np.uint64, np.uint64]:
        """The key of the draws of the next run of pulses or reading: of the seed and how many came before."""
        self._epoch += 1
        return _draws.keys(self._seed, self._epoch)

    def read(self, sequence: Sequence) -> NDArray[np.float32]:
        """One reading of every selected cell without a pulse, masked cells too: float32 (cells,), ohms."""
        key = self.next_key()
        readout = Readout(self.device, sequence, after_pulse=False)
        return readout.readings(sequence.selected(self._antiparallel), key, 0)

    def flip(self) -> None:
        """Reverse the magnetisation of every cell."""
        self._antiparallel = ~self._antiparallel

    def put(self, selection: Selection, antiparallel: NDArray[np.bool_]) -> None:
        """Set the magnetisation of the selected cells, (cells,)."""
        where = self._antiparallel[selection.rectangle]
        where[:] = antiparallel.reshape(where.shape)


def forgetting(from_parallel: Floats, from_antiparallel: Floats, seconds: float) -> tuple[Floats, Floats]:
    """Probabilities to be found in the other state after `seconds`, from P and from AP, for escape rates in 1/s."""
    total = from_parallel + from_antiparallel
    decayed = -np.expm1(-total * seconds) / np.maximum(total, np.finfo(float).tiny)
    return from_parallel * decayed, from_antiparallel * decayed


class Readout:
    """What the selected cells read in P and in AP: `levels` and `noise` in ohms, two arrays (cells,) each."""

    def __init__(self, device: Device, sequence: Sequence, *, after_pulse: bool) -> None:
        self._device = device
        # Without a pulse before it the free layer is at rest.
        relaxed = max(sequence.period - sequence.width, 0.0) + sequence.settle if after_pulse else np.inf
        both = device.resistances(sequence.read_voltage, sequence.temperature, relaxed, sequence.settle)
        noise = [
            device.read_noise(r, sequence.read_voltage, sequence.settle, sequence.temperature) for r in both
        ]
        self.levels = [sequence.selected(r) for r in both]
        self.noise = [sequence.selected(sigma) for sigma in noise]

    def readings(
        self, antiparallel: NDArray[np.bool_], key: tuple[np.uint64, np.uint64], first: int
    ) -> NDArray[np.float32]:
        """Readings of states (pulses · cells,); `first` counts the readings taken before under this key."""
        noise = np.empty(len(antiparallel))
        # The keys are exchanged so that these numbers are not those of the draws.
        _draws.gaussian(key[1], key[0], first, noise)
        at = antiparallel.reshape(-1, len(self.levels[0]))
        noise = noise.reshape(at.shape)
        noise *= np.where(at, self.noise[1], self.noise[0])
        noise += np.where(at, self.levels[1], self.levels[0])
        return self._device.converted(noise.ravel()).astype(np.float32)

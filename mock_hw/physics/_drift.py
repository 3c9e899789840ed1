"""What changes while time passes: temperature, critical voltage, slow resistance noise, telegraph noise.

Every process is advanced exactly over any stretch of time, so its law does not depend on how often it is looked at.
"""

from collections.abc import Mapping

import numba
import numpy as np
from numpy.typing import NDArray

from mock_hw import _draws
from mock_hw.physics._parameters import DeviceParameters

Floats = NDArray[np.floating]

# One Ornstein-Uhlenbeck process a decade makes a spectrum that falls as 1/f, within some per cent of it, over the
# decades between (van der Ziel 1950).
TIMES = 10.0 ** np.arange(-3, 6)  # s


class Drift:
    """The present deviations of `cells` cells from their nominal selves.

    `temperature` in kelvin; `critical_voltage` and `resistance` are relative, (cells,) float32.
    """

    def __init__(self, parameters: DeviceParameters, cells: int, seed: int) -> None:
        self._parameters = parameters
        self._seed = seed
        self._count = 0
        self._cells = cells
        # Without an amplitude there is nothing to keep: a large array is spared the memory.
        self._voltage = self._stationary(parameters.drift.critical_voltage)
        self._flicker = self._stationary(parameters.readout.flicker)
        self.temperature = parameters.drift.temperature * float(self._normals(1)[0])
        rng = np.random.default_rng([seed, 0x7E1E])
        readout = parameters.readout
        self._telegraph = np.flatnonzero(rng.random(cells) < readout.telegraph_cells)
        self._rates = readout.telegraph_rate * 10 ** rng.uniform(-1, 1, len(self._telegraph))
        self._high = rng.random(len(self._telegraph)) < 0.5
        self._sum()

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        if seconds <= 0:
            return
        drift = self._parameters.drift
        decay = np.exp(-seconds / drift.temperature_time)
        kick = drift.temperature * np.sqrt(1 - decay**2)
        self.temperature = float(self.temperature * decay + kick * self._normals(1)[0])
        for state, amplitude in (
            (self._voltage, drift.critical_voltage),
            (self._flicker, self._parameters.readout.flicker),
        ):
            if len(state):
                key = self._key()
                decays = np.exp(-seconds / TIMES)
                _advance(
                    state,
                    decays.astype(np.float32),
                    (amplitude * np.sqrt(1 - decays**2)).astype(np.float32),
                    *key,
                )
        if len(self._telegraph):
            flips = -np.expm1(-2 * self._rates * seconds) / 2
            self._high ^= self._uniforms(len(flips)) < flips
        self._sum()

    def save(self) -> dict[str, NDArray]:
        """Its state as arrays."""
        return {
            "drift_count": np.array(self._count),
            "drift_temperature": np.array(self.temperature),
            "drift_voltage": self._voltage,
            "drift_flicker": self._flicker,
            "drift_telegraph": self._high,
        }

    def load(self, saved: Mapping[str, NDArray]) -> None:
        """Take over what `save` gave; raises ValueError where it is of other cells."""
        for mine, name in (
            (self._voltage, "drift_voltage"),
            (self._flicker, "drift_flicker"),
            (self._high, "drift_telegraph"),
        ):
            if mine.shape != saved[name].shape:
                raise ValueError("it is of a device with other drift or noise")
            mine[:] = saved[name]
        self._count, self.temperature = int(saved["drift_count"]), float(saved["drift_temperature"])
        self._sum()

    def _sum(self) -> None:
        none = np.zeros(1, np.float32)
        self.critical_voltage = self._voltage.sum(axis=0) if len(self._voltage) else none
        self.resistance = self._flicker.sum(axis=0) if len(self._flicker) else none
        if len(self._telegraph):
            self.resistance = np.broadcast_to(self.resistance, (self._cells,)).copy()
            step = self._parameters.readout.telegraph_step
            self.resistance[self._telegraph] += np.where(self._high, step / 2, -step / 2).astype(np.float32)

    def _stationary(self, amplitude: float) -> NDArray[np.float32]:
        state = np.zeros((len(TIMES) if amplitude else 0, self._cells), np.float32)
        if amplitude:
            key = self._key()
            _advance(
                state, np.zeros(len(TIMES), np.float32), np.full(len(TIMES), amplitude, np.float32), *key
            )
        return state

    def _key(self) -> tuple[np.uint64, np.uint64]:
        self._count += 1
        return _draws.keys(self._seed, 0xD21F7, self._count)

    def _normals(self, count: int) -> Floats:
        out = np.empty(count)
        _draws.gaussian(*self._key(), 0, out)
        return out

    def _uniforms(self, count: int) -> Floats:
        return np.random.default_rng([int(word) for word in self._key()]).random(count)


@numba.njit(cache=True, nogil=True)
def _advance(state, decays, kicks, key, key2):
    """state[k, cell] becomes decays[k] · state + kicks[k] · a random number of mean 0 and variance 1.

    That number is a sum of four uniform ones of 16 bits: nearly normal, and the processes add up many of them.
    """
    scale = np.float32(np.sqrt(3.0) / 65536.0)
    low = np.uint64(0xFFFF)
    cells = state.shape[1]
    for k in range(len(decays)):
        counter = key + np.uint64(k * cells)
        for j in range(cells):
            word = _draws.mix(counter * _draws.GAMMA, key2)
            total = np.int64(word & low) + np.int64((word >> np.uint64(16)) & low)
            total += np.int64((word >> np.uint64(32)) & low) + np.int64(word >> np.uint64(48))
            state[k, j] = decays[k] * state[k, j] + kicks[k] * (np.float32(total - 131070) * scale)
            counter += np.uint64(1)

"""What a reading of the selected cells gives, in ohms."""

import numpy as np
from numpy.typing import NDArray

from mock_hw import _draws
from mock_hw._array._sequence import Sequence
from mock_hw._device import Device


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

"""Gives pulses to the cells of an array, and counts by the state that each pulse started from."""

import numpy as np

from ..array import Array, Stop, Stopped, Trims, blocks_of, count_switchings


class ArrayPulser:
    """A `Pulser` over an array, whose columns are cells from P, then (in a toggle) cells from AP.

    An array that knows one trim for both directions has one set of columns in a toggle, whose switchings are the
    changes. The output must be on and thresholds set; `pulses` counts those that each cell was given.
    """

    def __init__(self, array: Array, stop: Stop) -> None:
        self._array, self._stop = array, stop
        self._toggle = array.point.toggle
        self._states = 2 if self._toggle and array.has_all_trims else 1
        rows, columns = array.shape
        self.cells = rows * columns
        self.columns = self._states * self.cells
        self.pulses = np.zeros(self.cells, np.int64)
        self.given = 0
        self._mask = np.zeros(0, bool)

    def run(
        self, voltage: np.ndarray, width: np.ndarray, active: np.ndarray, pulses: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Pulser`; raises Stopped where the user wants to stop."""
        mask = np.any(active.reshape(self._states, -1), axis=0)
        if not np.array_equal(mask, self._mask):
            self._array.set_mask(mask)
            self._mask = mask
        volts, seconds = (np.where(mask, each.reshape(self._states, -1), 0.0) for each in (voltage, width))
        self._array.set_trims(Trims(volts[0], seconds[0], volts[-1], seconds[-1]))
        many = pulses * self._states + 1
        n, k = count_switchings(blocks_of(self._array, many, self._stop), self.cells, self._toggle)
        self.pulses += many * mask
        self.given += many
        if self._toggle and self._states == 1:
            n, k = n.sum(0, keepdims=True), k.sum(0, keepdims=True)
        return n[: self._states].ravel(), k[: self._states].ravel()


class ArrayVoltagePulser:
    """A `VoltagePulser` over the `used` cells of an array that has all trims, bool (cells,); its width is the point's.

    The output must be on, mask and thresholds set. `given`: pulses that each cell was given.
    """

    def __init__(self, array: Array, used: np.ndarray, stop: Stop) -> None:
        self._array, self._used, self._stop = array, used, stop
        self.cells = int(used.sum())
        self.given = 0

    def pulse(self, volts: np.ndarray, pulses: int) -> tuple[np.ndarray, np.ndarray]:
        """See `VoltagePulser`; the first pulse of each block is given and not counted. Raises Stopped."""
        trims = np.zeros((2, len(self._used)))
        trims[:, self._used] = volts - self._array.point.voltage
        self._array.set_trims(Trims(voltage_p=trims[0], voltage_ap=trims[1]))
        blocks = blocks_of(self._array, pulses, self._stop)
        n, k = count_switchings(blocks, len(self._used), toggle=True)
        self.given += pulses
        return n[:, self._used], k[:, self._used]

    def rest(self) -> None:
        """Keep the output alive while something is computed; raises Stopped where the user wants to stop."""
        if self._stop():
            raise Stopped
        self._array.keep_alive()

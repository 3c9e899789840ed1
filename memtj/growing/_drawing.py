"""The array of a run, switched on: what draws in it, follows it, judges it, and counts what is taken."""

import contextlib
from collections.abc import Iterator

import numpy as np

from entropy import Recording
from instruments import DrawCalibration
from instruments.array import Array, BernoulliArray, DrawCounts, DrawDrift
from memtj.energy import Assumptions, DrawAccount, load_assumptions
from memtj.growing._energy import DrawEnergy
from memtj.growing._recorder import DrawRecorder


class Drawing:
    """The array of a run that is switched on, and paid for from now on; `cells` hold pictures, one a row."""

    def __init__(
        self, array: Array, cells: np.ndarray, draws: BernoulliArray, drift: DrawDrift, energy: DrawEnergy
    ) -> None:
        self.array, self.cells, self.draws = array, cells, draws
        self._drift, self._energy = drift, energy
        self._before = self._accounted = draws.counts
        draws.observe = energy.take

    @property
    def assumptions(self) -> Assumptions:
        """What the account assumes of the circuit."""
        return self._energy.assumptions

    @property
    def counts(self) -> DrawCounts:
        """What its draws took since they are recorded."""
        return self.draws.counts - self._before

    def record(self, recording: Recording, *, hidden: bool = False) -> DrawRecorder:
        """Have each draw recorded and judged from now on; `hidden`: no bit of it is kept."""
        recorder = DrawRecorder(
            recording, self.draws, self._drift, self._energy, self.array.shape[1], hidden=hidden
        )
        self.draws.observe = recorder.take
        self._before = self._accounted = self.draws.counts
        return recorder

    def unrecorded(self) -> None:
        """Have no draw recorded from now on; they are paid for all the same."""
        self.draws.observe = self._energy.take

    def account(self, pictures: int, network_seconds: float) -> DrawAccount:
        """Give each of so many pictures its share of all since the account before.

        `network_seconds`: all that the network has had so far.
        """
        counts, self._accounted = self.draws.counts - self._accounted, self.draws.counts
        return self._energy.account(pictures, counts.draws, network_seconds)


@contextlib.contextmanager
def switched_on(
    array: Array, cells: np.ndarray, calibration: DrawCalibration, watchdog: float, *, read: bool = True
) -> Iterator[Drawing]:
    """Have the array on as it was calibrated, to draw in `cells`, (pictures, pixels); everything is off at every end.

    Without `read` the caller reads what is stored.
    """
    known, drift = calibration.conditions, DrawDrift(calibration.law)
    draws = BernoulliArray(array, drift, cells.ravel())
    with draws.switched_on(known.lowest, known.highest, hold=known.hold, watchdog=watchdog, read=read):
        yield Drawing(array, cells, draws, drift, DrawEnergy(calibration, load_assumptions(None)))

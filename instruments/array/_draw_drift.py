"""What an array's volts have drifted by since its calibration, estimated from the outcomes of its draws alone.

Drift is relative: critical voltages of a whole array go by so many per cent (temperature, a supply). Cell i needs
1 + c + r_i times the volts of its law. c is seen by all outcomes of a draw, r_i by those of one cell. An outcome x of a
cell that was expected to switch with p tells (p - x) s v of it, at a Fisher information of p (1 - p) (s v)², where s is
the slope of the logit by the volts v.

c is followed by a bank of Kalman filters of a level and a rate, which differ in how fast the rate may change; the one
that predicts best is listened to, and where nothing drifts that is the one without a rate. Each r_i has a filter of its
own, which begins at what the calibration left open.
"""

import numpy as np

from ._switching_law import SwitchingLaw

_RATES = np.array([0.0, 1e-8, 1e-7, 1e-6, 1e-5])  # per draw, by which the rate of c changes with each draw
_BEGINNING = 30.0  # the rate at first, in such changes
_LEVEL = 3e-4  # standard deviation of c at first
_RELUCTANCE, _MEMORY = 1.0, 256  # nats by which a faster filter must predict better, over so many draws
_CELL = 1e-6  # standard deviation by which r goes with each draw
_TOLD = 0.01  # what is expected with less, or with more than 1 less this, tells of misreadings rather than of drift


class DrawDrift:
    """A `SwitchingLaw` that follows the array: `voltage` of the next draw, and what each draw showed by `take`.

    `change`: by which share each cell needs more volts than the law says, (cells,).
    """

    def __init__(self, law: SwitchingLaw) -> None:
        self.law = law
        self.change = np.zeros(law.cells)
        self._own = np.zeros(law.cells)
        middle = [law.voltage(0.5, state) for state in (False, True)]
        self._open = np.mean([(sigma / volts) ** 2 for volts, sigma in middle], axis=0)
        self._common = np.zeros((len(_RATES), 2))  # level and rate
        self._spread = np.zeros((len(_RATES), 2, 2))
        self._spread[:, 0, 0], self._spread[:, 1, 1] = _LEVEL**2, (_BEGINNING * _RATES) ** 2
        self._evidence = -_RELUCTANCE * np.arange(len(_RATES))

    def voltage(
        self, p: np.ndarray | float, antiparallel: np.ndarray | bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the volts at which each cell switches with `p` now, and the law's standard errors; (cells,) each."""
        volts, sigma = self.law.voltage(p, antiparallel)
        return np.clip(volts * (1 + self.change), self.law.lowest, self.law.highest), sigma

    def probability(self, volts: np.ndarray | float, antiparallel: np.ndarray | bool) -> np.ndarray:
        """Give with what probability each cell switches at its volts now, (cells,)."""
        return self.law.probability(volts / (1 + self.change), antiparallel)

    def take(
        self, volts: np.ndarray, switched: np.ndarray, drawn: np.ndarray, antiparallel: np.ndarray | bool
    ) -> None:
        """Take a draw: the volts of the pulses, who switched, who had a pulse, and the states before; (cells,) each.

        The volts are those of the codes that were set, so that rounding is no drift.
        """
        at = volts / (1 + self.change)
        p, slope = self.law.response(at, antiparallel)
        steep = np.where(drawn & (p >= _TOLD) & (p <= 1 - _TOLD), slope * at, 0.0)
        score, information = (p - switched) * steep, p * (1 - p) * steep**2
        told = float(information.sum())
        if not told:
            return
        self._open = 1 / (1 / self._open + information)
        moved = self._open * score
        self._own += np.where(steep != 0, moved - moved.sum() / np.count_nonzero(steep), 0.0)
        self._open += _CELL**2
        self._follow(float(score.sum()) / told, 1 / told)
        self.change = self._own + self._weights() @ self._common[:, 0]

    def _weights(self) -> np.ndarray:
        odds = np.exp(self._evidence - self._evidence.max())
        return odds / odds.sum()

    def _follow(self, off: float, variance: float) -> None:
        """Take how far c is from what all filters together said, and go on to the next draw."""
        measured = self._weights() @ self._common[:, 0] + off
        total = self._spread[:, 0, 0] + variance
        surprise = measured - self._common[:, 0]
        reluctance = -_RELUCTANCE * np.arange(len(_RATES))
        known = (self._evidence - reluctance) * (1 - 1 / _MEMORY)
        self._evidence = reluctance + known - (surprise**2 / total + np.log(total)) / 2
        gain = self._spread[:, :, 0] / total[:, None]
        self._common += gain * surprise[:, None]
        self._spread -= gain[:, :, None] * self._spread[:, None, 0]
        on = np.array([[1.0, 1.0], [0.0, 1.0]])
        self._common = self._common @ on.T
        self._spread = on @ self._spread @ on.T
        self._spread[:, 1, 1] += _RATES**2

"""The account of a recording of draws: the volts of its pulses from P, calibration and blocks, and what they took."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.special import logit

from entropy import BufferInfo, Store
from instruments.array import WorkingPoint
from memtj._errors import CommandError

from ._assumptions import Assumptions
from ._draw_joules import DrawJoules
from ._joules import Joules

_LEAST = 1e-9  # of P: a logit of 0 has no volts


class RecordedDraws:
    """One buffer of draws; `before`: what the cells held before its first block, bool (cells,), if that is known.

    `seconds`: from the first block to the last, by the board's clock; `together`: cells of a block; `stored`: what they
    held in the end. Raises CommandError where the buffer does not say what was pulsed.
    """

    def __init__(
        self, store: Store, info: BufferInfo, assumed: Assumptions, before: np.ndarray | None = None
    ) -> None:
        self.assumed, self.procedure = assumed, store.procedure(info.uuid)
        self._store, self._info = store, info
        self.rows, self.cells = store.rows(info.uuid), store.cells(info.uuid)
        self._tuning = store.tuning(info.uuid)
        names = [each.name for each in fields(WorkingPoint)]
        try:
            point = WorkingPoint(**{name: self.procedure[name] for name in names})
            self._hold = float(self.procedure["hold_voltage"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._unsaid(f"the working point of its pulses ({error})") from error
        self._joules = DrawJoules(point, self.cells["r_p"], self.cells["r_ap"], assumed)
        self.stored = np.zeros(len(self.cells), bool) if before is None else before
        # A run holds from the reading of a block to the next one; lots follow each other with everything on.
        waits = np.maximum(np.diff(self.rows["board_time"], append=self.rows["board_time"][-1]), 0.0)
        self.seconds, self._held = float(waits.sum()), 0.0  # s, s/ohm
        self.together = float(self.rows["bits"].mean())
        for index, wait in enumerate(waits.tolist()):
            self._take(index)
            self._held += wait * self._joules.conductance

    def sums(self) -> Joules:
        """Joules of the whole buffer by term."""
        a, sums, host = self.assumed, self._joules.sums, self.rows["host_time"]
        return Joules(
            write_from_p=sums["write_from_p"],
            write_from_ap=sums["write_from_ap"],
            reset=sums["reset"],
            read=sums["read"],
            line=a.line_capacitance.value * sums["squares"],
            conversions=a.conversion_energy.value * sums["conversions"],
            comparisons=a.comparison_energy.value * sums["comparisons"],
            hold=self._hold**2 * self._held,
            magnet=a.magnet_power.value * self.seconds,
            wire=a.wire_energy.value * sums["positions"],
            host=a.host_power.value * float(host[-1] - host[0]) if len(host) > 1 else float("nan"),
        )

    def _take(self, index: int) -> None:
        """Add a block. A cell that had a pulse and no valid outcome is not known, and left out."""
        row, asked = self.rows[index], self._store.commanded(self._info.uuid, index)
        if asked is None:
            raise self._unsaid("with which probabilities its cells were pulsed")
        bits, mask = self._store.read_block(self._info.uuid, index)
        cells, before = len(self.cells), self.stored
        valid = np.ones(cells, bool) if mask is None else np.unpackbits(mask, count=cells).astype(bool)
        after = before.copy()
        after[valid] = np.unpackbits(bits, count=int(row["bits"])).astype(bool)
        volts = np.zeros(cells)
        if asked.mode != "read" and asked.drawn.any():
            antiparallel = before & (asked.mode == "flip")
            p = np.where(antiparallel, 1 - asked.p, asked.p)
            volts[asked.drawn] = self._volts(p, antiparallel)[asked.drawn]
            volts *= float(row["voltage"]) / volts[asked.drawn].mean()  # drift, and the codes' rounding
        self._joules.take(asked.mode, valid, volts, before, after, int(row["positions"]))
        self.stored = after

    def _volts(self, p: np.ndarray, antiparallel: np.ndarray) -> np.ndarray:
        """Give volts of P, (cells,), each cell's own at 1/2, the mean of all otherwise; without a tuning all alike."""
        if self._tuning is None:
            return np.ones(len(p))
        table, known = self._tuning
        at = logit(np.clip(p, _LEAST, 1 - _LEAST))
        try:
            own = [self._curve(known, state, at) + table[f"voltage_{state}"] for state in ("p", "ap")]
        except (KeyError, TypeError, ValueError) as error:
            raise self._unsaid(f"the volts of its probabilities ({error})") from error
        return np.where(antiparallel, own[1], own[0])

    def _curve(self, known: Mapping[str, Any], state: str, at: np.ndarray) -> np.ndarray:
        knots, mean = logit(np.array(known["p"], float)), np.array(known["mean_volts"][state], float)
        return known["voltage"] + np.interp(at, knots, mean) - np.interp(0.0, knots, mean)

    def _unsaid(self, what: str) -> CommandError:
        return CommandError(
            f"the draws in {self._info.path} do not say {what}: name the folder of the pictures that they became."
        )

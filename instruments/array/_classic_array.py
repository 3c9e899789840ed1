"""An array of one junction between a pulse source and a readout: each pulse, reading and threshold is the host's."""

import logging
import math
import time
from typing import NoReturn

import numpy as np

from entropy import DrawMode

from .._errors import BenchError
from ..bench import Bench, DacScale, Trims, is_simulated
from ._array import Stop, Stopped
from ._block import Block, Losses
from ._classic_acquisition import ClassicAcquisition
from ._classic_pulser import ClassicPulser
from ._working_point import WorkingPoint

log = logging.getLogger(__name__)

_ALIVE = 0.5  # s between looks at outputs from which nothing is read


class ClassicArray:
    """The `Array` of a bench whose roles are `pulse_source` and `readout`: one cell.

    The sequences are those of an array board: a reset pulse where the last reading was antiparallel, and its check;
    write pulse; reading. Neither box has a watchdog, so that of `switch_on` is not kept. Raises BenchError
    where the bench file does not say the temperature, which no box measures.
    """

    has_all_trims = False
    shape: tuple[int, int] = (1, 1)
    most_pulses = 1024  # some seconds of pulses

    def __init__(self, bench: Bench, point: WorkingPoint) -> None:
        roles = bench.pulse_source, bench.readout
        identities = [bench.identities[role.instrument] for role in roles]
        if bench.array.temperature is None:
            raise BenchError(
                f"no box of {bench.source} measures the temperature: give 'temperature' (kelvin) in [array]"
            )
        self.name = " and ".join(role.instrument for role in roles)
        self.identity, self.device = " and ".join(identities), bench.array.device
        self.simulated = any(map(is_simulated, identities))
        self.point = point
        self.losses = Losses()  # nothing waits in a box, so nothing is lost
        self._kelvin = bench.array.temperature
        self._roles = roles
        self._pulser = ClassicPulser(*roles, bench.limits)
        self._threshold, self._used = math.inf, True
        self._fed = -math.inf  # monotonic s

    def require_all_trims(self) -> None:
        raise BenchError(
            f"the {self.name!r} trim both directions of their junction together: use the mode 'reset', or an array "
            "board"
        )

    def temperature(self) -> float:
        return self._kelvin

    @property
    def pulse_seconds(self) -> float:
        """Give the seconds of a pulse of the acquisitions so far, NaN before the first one."""
        return self._pulser.pulse_seconds

    def set_working_point(self, point: WorkingPoint) -> None:
        """Set pulses, reading and mode: with the output on, volts and widths of the pulses alone may differ."""
        self._pulser.set_point(point)
        self.point = point

    def set_mask(self, used: np.ndarray | bool) -> None:
        self._used = bool(np.all(used))

    def set_thresholds(self, thresholds: np.ndarray) -> None:
        (self._threshold,) = map(float, np.ravel(thresholds))

    def set_trims(self, trims: Trims) -> int:
        volts, seconds = trims.shaped(1, (1, 1)).stacked((1, 1)).reshape(2, 2)
        if seconds.any() or volts[0] != volts[1]:
            raise BenchError(f"the {self.name!r} trim the voltage alone, and both directions together")
        return int(self._pulser.set_trim(float(volts[0])))

    def trim_range(self) -> tuple[float, float]:
        return self._pulser.trim_range()

    def longest_pulse(self) -> float:
        return self._pulser.longest_pulse()

    def switch_on(self, watchdog: float, hold: float = 0.0) -> None:
        if hold:
            self.require_draws()
        try:
            self._pulser.switch_on()
        except BaseException:
            self.switch_off()
            raise

    def switch_off(self) -> bool:
        """Switch both off, the pulse source first."""
        self._pulser.forget()
        safe = True
        for role in self._roles:
            try:
                safe &= role.safe_state()
            except BenchError as error:
                log.warning("%s; the bench tries again when it is left", error)
                safe = False
        return safe

    def keep_alive(self) -> None:
        """Look whether both outputs are on, no more than twice a second; raises BenchError, both off, where not."""
        now = time.monotonic()
        if now - self._fed < _ALIVE:
            return
        self._fed = now
        try:
            for role in self._roles:
                if not role.adapter.output_is_on():
                    raise BenchError(
                        f"the output of the {role.instrument!r} was switched off by somebody else: start again"
                    )
        except BenchError:
            self.switch_off()
            raise

    def reconnect(self) -> None:
        raise BenchError(f"the {self.name!r} do not say what a lost connection has left: start again")

    def acquire(
        self, pulses: int, pulses_per_block: int, *, strict: bool = False, mode: DrawMode | None = None
    ) -> ClassicAcquisition:
        if mode is not None:
            self.require_draws()
        if not self._used:
            raise BenchError(f"the only cell of the {self.name!r} is left out, so there is nothing to pulse")
        return ClassicAcquisition(self._pulser, self.point.toggle, self._threshold, pulses, pulses_per_block)

    def toggle_readings(self, pulses: int, stop: Stop) -> np.ndarray:
        readings = np.empty((pulses, 1), np.float32)
        for number in range(pulses):
            if stop():
                raise Stopped
            readings[number] = self._pulser.write()
        return readings

    def resistances(self) -> np.ndarray:
        return np.array([self._pulser.read()], np.float32)

    # Draws need what an array board has

    def require_draws(self) -> NoReturn:
        raise BenchError(
            f"the {self.name!r} have no pulse table, hold and field to switch, which draws and 'hold' need: use a "
            "bench with an array board"
        )

    def dac(self) -> DacScale:
        self.require_draws()

    def set_dac_range(self, lowest: float, highest: float) -> DacScale:
        self.require_draws()

    def set_pulse_table(self, codes: np.ndarray) -> None:
        self.require_draws()

    def draw_once(self, mode: DrawMode) -> Block:
        self.require_draws()

    def hold(self, volts: float) -> None:
        self.require_draws()

    def field(self, on: bool) -> None:
        self.require_draws()

"""A bipolar supply as a device: two channels, one of which is the limit of the other, over a magnet; knows no SCPI."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean

from mock_hw.boxes._magnet import OFF, Magnet, Source
from mock_hw.boxes._rules import Rule, RuleBroken

MOST_VOLTS, MOST_AMPERES = 36.0, 12.0
_CONVERSIONS, _EVERY = 16, 0.02  # of which a reading is the average, and seconds from one to the next
_TEST_SECONDS = 0.5  # at either end of the output; our own choice
_MAX_ERROR, _MIN_ERROR = 64, 128  # bits of the test's answer
_WITHIN = 0.01  # of the largest voltage


@dataclass(frozen=True)
class Settings:
    """What `*RST` resets; `volts`, `amperes`: a level, or the limit of the other one, of which only the size counts."""

    current_mode: bool = False
    volts: float = 0.0
    amperes: float = 0.0
    output: bool = False


class Supply:
    """The output is wired to a magnet, for good: the real one has no relay, off it puts out 0 V."""

    def __init__(self, magnet: Magnet, *, serial_number: str = "0") -> None:
        self.identity = f"KEPCO,BIT 4886 36-12,{serial_number},1.86"
        self.lock = threading.RLock()
        self.settings = Settings()
        self._magnet = magnet

    def power_on(self) -> None:
        """Be as after power-on or `*RST`."""
        self._change(Settings())

    def set_mode(self, current: bool) -> None:
        """Regulate the current, or the voltage; the other one's setting is the limit from now on."""
        self._change(replace(self.settings, current_mode=current))

    def set_volts(self, volts: float) -> None:
        """Set the voltage, or its limit."""
        self._change(replace(self.settings, volts=_within(volts, MOST_VOLTS, "V")))

    def set_amperes(self, amperes: float) -> None:
        """Set the current, or its limit."""
        self._change(replace(self.settings, amperes=_within(amperes, MOST_AMPERES, "A")))

    def set_output(self, on: bool) -> None:
        """Put out what is set, or 0 V, at which the current of a magnet goes down by itself."""
        self._change(replace(self.settings, output=on))

    def read_volts(self) -> float:
        """What the card reads at the terminals: the average of the last third of a second."""
        return self._average(self._magnet.volts)

    def read_amperes(self) -> float:
        """What the card reads of the current: the average of the last third of a second."""
        return self._average(self._magnet.amperes)

    @property
    def regulates_current(self) -> bool:
        """Whether the current is what is held now, by its level or as a limit."""
        s = self.settings
        amperes = self._magnet.amperes()
        if s.current_mode:
            return s.output and abs(amperes - s.amperes) < 1e-3 * MOST_AMPERES
        held = abs(self._magnet.volts() - s.volts) > 1e-6 * MOST_VOLTS
        return s.output and held and abs(amperes) >= abs(s.amperes) * (1 - 1e-6)

    def test(self) -> int:
        """Swing the output from end to end, and say in bits what it did not reach: with a load on it, too."""
        missed = 0
        try:
            for volts, bit in ((MOST_VOLTS, _MAX_ERROR), (-MOST_VOLTS, _MIN_ERROR)):
                self._magnet.drive(_of_volts(volts, MOST_AMPERES))
                self._magnet.clock.wait(_TEST_SECONDS)
                if abs(self._magnet.volts() - volts) > _WITHIN * MOST_VOLTS:
                    missed |= bit
        finally:
            self._change(self.settings)
        return missed

    def _change(self, settings: Settings) -> None:
        self.settings = s = settings
        if not s.output:
            self._magnet.drive(OFF)
        elif s.current_mode:
            self._magnet.drive(Source((s.amperes,), (abs(s.volts), -abs(s.volts))))
        else:
            self._magnet.drive(_of_volts(s.volts, abs(s.amperes)))

    def _average(self, of: Callable[[float], float]) -> float:
        now = self._magnet.clock.now()
        return fmean(of(now - n * _EVERY) for n in range(_CONVERSIONS))


def _of_volts(volts: float, limit: float) -> Source:
    return Source((-limit, limit), (MOST_VOLTS, volts, -MOST_VOLTS))


def _within(value: float, most: float, unit: str) -> float:
    if abs(value) > most:
        raise RuleBroken(Rule.RANGE, f"{most:g} {unit} at most, of either sign")
    return value

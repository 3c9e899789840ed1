"""Pulses and readings of one junction between two boxes, whose volts add up across it."""

import math
import time
from dataclasses import replace

from .._errors import BenchError
from ..bench import LimitsSection, PulseSourceRole, ReadoutRole
from ..bench.adapters import PulseSettings, ReadSettings
from ._working_point import WorkingPoint

_FRESH = 1.0  # s that a reading says what state the junction is in
_CYCLES = 0.01  # of the mains, the quickest reading: two states differ by far more than its noise
_LARGEST_CURRENT = 10.0  # over that of the highest resistance: R_P is no smaller by more
_HAIR = 1 - 1e-9


class ClassicPulser:
    """Writes, resets and reads; the read voltage stands all the time, so the source gives what is left of a pulse.

    `pulse_seconds`: of the pulses that `count` was told of, on average; NaN before.
    """

    def __init__(self, source: PulseSourceRole, readout: ReadoutRole, limits: LimitsSection) -> None:
        self._source, self._readout, self._limits = source, readout, limits
        self._point: WorkingPoint | None = None
        self._trim = 0.0
        self._on = False
        self._read: tuple[float, float] | None = None  # ohms of the last reading, monotonic s
        self._pulses, self._seconds = 0, 0.0

    @property
    def pulse_seconds(self) -> float:
        return self._seconds / self._pulses if self._pulses else math.nan

    def count(self, pulses: int, seconds: float) -> None:
        """Note how long so many pulses took."""
        self._pulses += pulses
        self._seconds += seconds

    # Settings

    def set_point(self, point: WorkingPoint) -> None:
        """Take another working point; raises BenchError where a limit does not allow it."""
        before = self._point
        if self._on and before is not None:
            same = replace(
                point, mode=before.mode, voltage=before.voltage, width=before.width,
                reset_voltage=before.reset_voltage, reset_width=before.reset_width,
            )  # fmt: skip
            if same != before:
                raise BenchError("period and reading are set with the output off: switch it off first")
        self._refuse(point, self._trim)
        self._point = point

    def set_trim(self, volts: float) -> bool:
        """Add volts to the write pulse; returns whether that changes it."""
        changed = volts != self._trim
        self._refuse(self._now, volts)
        self._trim = volts
        return changed

    def trim_range(self) -> tuple[float, float]:
        """Give the volts that may be added to the write pulse."""
        point, most = self._now, self._most(self._now)
        beside = point.voltage - point.read_voltage
        return -most - beside, most - beside

    def longest_pulse(self) -> float:
        """Give the seconds that a pulse may last."""
        return min(self._limits.pulse_width, self._limits.duty * self._now.period) * _HAIR

    # Output

    def switch_on(self) -> None:
        """Have the read voltage reach the junction, then pulses; raises BenchError."""
        point = self._now
        self._readout.adapter.prepare(self._reading(point))
        self._source.adapter.prepare(self._write)
        self._on = True

    def forget(self) -> None:
        """The outputs go off."""
        self._on, self._read = False, None

    # Pulses and readings

    def read(self) -> float:
        """Read the resistance, ohms."""
        ohms = self._readout.adapter.read()
        self._read = ohms, time.monotonic()
        return ohms

    def last(self) -> float:
        """Give the last reading, ohms; another one where a pulse came since, or a second."""
        if self._read is None or time.monotonic() - self._read[1] > _FRESH:
            return self.read()
        return self._read[0]

    def write(self) -> float:
        """Give a write pulse and read, ohms."""
        return self._pulse(self._write, self._write)

    def reset(self) -> float:
        """Give a reset pulse and read, ohms; a write pulse comes next."""
        point = self._now
        volts, width = point.reset_voltage - point.read_voltage, point.reset_width
        return self._pulse(replace(self._write, voltage=volts, width=width), self._write)

    def _pulse(self, burst: PulseSettings, then: PulseSettings) -> float:
        source, self._read = self._source.adapter, None
        source.change(burst)
        source.pulse(then)
        return self.read()

    @property
    def _now(self) -> WorkingPoint:
        if self._point is None:
            raise BenchError("the array has no working point yet: set one first")
        return self._point

    @property
    def _write(self) -> PulseSettings:
        return self._burst(self._now, self._trim)

    def _burst(self, point: WorkingPoint, trim: float) -> PulseSettings:
        """The write pulse at the source, in volts across the junction without the read voltage."""
        return PulseSettings(
            point.voltage + trim - point.read_voltage, point.width, self._source.adapter.fastest_edge, point.period,
            largest=self._most(point),
        )  # fmt: skip

    def _reading(self, point: WorkingPoint) -> ReadSettings:
        if not point.read_voltage:
            raise BenchError("a read voltage of 0 V reads no resistance: choose another one")
        most = _LARGEST_CURRENT * abs(point.read_voltage) / self._readout.path.load
        most = min(most, self._limits.current or most)
        return ReadSettings(
            point.read_voltage, most, current_range=most, delay=point.settle, cycles=_CYCLES, autozero=False
        )

    def _refuse(self, point: WorkingPoint, trim: float) -> None:
        """Raise BenchError where a limit does not allow these pulses beside this reading."""
        junction, beside = self._source.junction, self._readout.peak(point.read_voltage)
        junction.check_read(beside, self._reading(point).compliance)
        pulses = [(point.voltage + trim, point.width)]
        if not point.toggle:
            pulses.append((point.reset_voltage, point.reset_width))
        for volts, width in pulses:
            junction.check_pulse(self._source.peak(volts - point.read_voltage), width, point.period, beside)

    def _most(self, point: WorkingPoint) -> float:
        """Volts that the source may put across the junction, of either sign, beside the read voltage."""
        beside = self._readout.peak(point.read_voltage)
        left = (self._limits.pulse_voltage - beside) / (1 + self._source.path.overshoot) * _HAIR
        return max(left, 0.0)

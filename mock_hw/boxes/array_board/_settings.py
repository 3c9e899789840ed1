"""What a board is set to, its hard limits, and the rules between them; a rule that does not hold raises."""

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mock_hw._arguments import Count, OutOfRange, Real, take_fields, takes
from mock_hw._array import Selection, Sequence, Trims
from mock_hw.boxes._rules import Rule, RuleBroken

TRIMS = ("trim", "trim_ap", "width_trim", "width_trim_ap")
MODES = ("RES", "TOGG", "WRIT", "FLIP", "READ")
LARGEST_BLOCK_BITS = 1 << 26
LARGEST_BLOCK_READINGS = 1 << 21
LARGEST_COUNT = 10**15
SHORTEST_WIDTH = 1e-12
SHORTEST_PERIOD = 6e-9
_RANGES = {
    "width": (SHORTEST_WIDTH, 1.0),
    "reset_width": (SHORTEST_WIDTH, 1.0),
    "period": (SHORTEST_PERIOD, 1.0),
    "settle": (1e-9, 1.0),
    "count": (0, LARGEST_COUNT),
    "block": (1, LARGEST_BLOCK_BITS),
}


@dataclass(frozen=True)
class Limits:
    """Hard limits: pulse, read and hold voltage (magnitudes in volts), pulse width in seconds."""

    voltage: float = 2.0
    width: float = 10e-9
    read: float = 0.5
    hold: float = 0.6

    def __post_init__(self) -> None:
        take_fields(self, voltage=Real(0), width=Real(0), read=Real(0), hold=Real(0))


@dataclass(frozen=True)
class Settings:
    """What `*RST` resets; arrays have the shape (rows, columns); `…_ap` is added where a cell last read AP.

    `codes` are what the converter makes write pulses of in the modes WRIT and FLIP, 0 = no pulse; `dac_low` and
    `dac_high` are the volts of code 1 and of the highest one of `dac_bits` bits.
    """

    selection: Selection
    mask: NDArray[np.bool_]
    trim: NDArray[np.float32]
    trim_ap: NDArray[np.float32]
    width_trim: NDArray[np.float32]
    width_trim_ap: NDArray[np.float32]
    threshold: NDArray[np.float32]
    codes: NDArray[np.uint16]
    dac_bits: int
    dac_low: float
    dac_high: float
    hold: float = 0.0
    watchdog: float = 5.0
    voltage: float = 0.0
    width: float = 0.3e-9
    period: float = SHORTEST_PERIOD
    reset_voltage: float = 0.0
    reset_width: float = 0.6e-9
    mode: str = "RES"
    read_voltage: float = 0.0
    settle: float = 1e-6
    count: int = 0
    block: int = 1
    resistances: bool = False

    def __post_init__(self) -> None:
        take_fields(
            self,
            dac_bits=Count(2, 16),
            dac_low=Real(),
            dac_high=Real(),
            hold=Real(),
            watchdog=Real(0),
            voltage=Real(),
            width=Real(0),
            period=Real(above=0),
            reset_voltage=Real(),
            reset_width=Real(0),
            read_voltage=Real(),
            settle=Real(above=0),
            count=Count(),
            block=Count(),
        )

    @classmethod
    @takes(rows=Count(1), columns=Count(1), dac_bits=Count(2, 16))
    def after_reset(cls, rows: int, columns: int, limits: Limits, dac_bits: int = 8) -> Self:
        """The reset values; where a limit is lower, the limit."""
        zeros = np.zeros((rows, columns), np.float32)
        return cls(
            selection=Selection(0, rows - 1, 0, columns - 1),
            mask=np.ones((rows, columns), bool),
            **dict.fromkeys(TRIMS, zeros),
            threshold=np.full((rows, columns), 100e3, np.float32),
            codes=np.zeros((rows, columns), np.uint16),
            dac_bits=dac_bits,
            dac_low=0.0,
            dac_high=limits.voltage,
            width=min(cls.width, limits.width),
            reset_width=min(cls.reset_width, limits.width),
        )

    @property
    def positions(self) -> int:
        """Positions of a block."""
        return self.block * self.selection.cells

    @property
    def coded(self) -> bool:
        """Whether write pulses have the volts of their cells' codes."""
        return self.mode in ("WRIT", "FLIP")

    @property
    def drawn(self) -> bool:
        """Whether a pulse is a draw, or a reading without one."""
        return self.mode not in ("RES", "TOGG")

    @property
    def dac(self) -> tuple[float, float]:
        """Volts per code, and volts that code 0 would have."""
        scale = (self.dac_high - self.dac_low) / (2**self.dac_bits - 2)
        return scale, self.dac_low - scale

    @property
    def code_volts(self) -> NDArray[np.float64]:
        """The volts that the codes stand for; 0 where there is no pulse."""
        scale, offset = self.dac
        low, high = sorted((self.dac_low, self.dac_high))
        volts = np.clip(offset + scale * self.codes, low, high)
        return np.where(self.codes > 0, volts, 0.0)

    def changed(self, limits: Limits, **values: Any) -> Self:
        """These settings with other values; raises `RuleBroken` where they cannot be."""
        try:
            new = replace(self, **values)
        except OutOfRange as error:
            raise RuleBroken(Rule.RANGE, str(error)) from None
        new._check(limits, values.keys())
        return new

    def _check(self, limits: Limits, changed: Any) -> None:
        """RANGE where a changed value is out of range, CONFLICT where it does not go with another setting."""
        shortest, longest = self._widths()
        # However a board adds the two, no junction sees more than the sum of their magnitudes.
        if self._largest_voltage() > limits.voltage:
            raise RuleBroken(
                Rule.RANGE, f"the pulse voltage limit is {limits.voltage:g} V, trims, codes and hold included"
            )
        if abs(self.hold) > limits.hold:
            raise RuleBroken(Rule.RANGE, f"the hold voltage limit is {limits.hold:g} V")
        if self.codes.max() >= 2**self.dac_bits:
            raise RuleBroken(Rule.RANGE, f"a code has {self.dac_bits} bits")
        if longest > limits.width:
            raise RuleBroken(Rule.RANGE, f"the pulse width limit is {limits.width:g} s, trims included")
        if shortest < SHORTEST_WIDTH:
            raise RuleBroken(Rule.RANGE, f"a pulse is at least {SHORTEST_WIDTH:g} s wide, trims included")
        if abs(self.read_voltage) > limits.read:
            raise RuleBroken(Rule.RANGE, f"the read voltage limit is {limits.read:g} V")
        for name in changed & _RANGES.keys():
            low, high = _RANGES[name]
            if not low <= getattr(self, name) <= high:
                raise RuleBroken(Rule.RANGE, f"from {low:g} to {high:g}")
        if self.period < longest:
            rule = Rule.RANGE if "period" in changed else Rule.CONFLICT
            raise RuleBroken(rule, "the period is shorter than a pulse")
        largest = LARGEST_BLOCK_READINGS if self.resistances else LARGEST_BLOCK_BITS
        if self.positions > largest:
            rule = Rule.RANGE if "block" in changed else Rule.CONFLICT
            raise RuleBroken(rule, f"a block holds at most {largest} positions; lower ACQuire:BLOCk")

    def largest(self, name: str) -> float:
        """The largest magnitude in use of what the limit `name` bounds."""
        return {
            "voltage": self._largest_voltage,
            "width": lambda: self._widths()[1],
            "read": lambda: abs(self.read_voltage),
            "hold": lambda: abs(self.hold),
        }[name]()

    def _largest_voltage(self) -> float:
        """The largest magnitude of any pulse that could be made, whatever the mode, and of the hold below it."""
        volts = self.voltage + self.trim.astype(np.float64)
        largest = np.maximum(np.abs(volts), np.abs(volts + self.trim_ap)).max()
        coded = np.abs(self.code_volts).max()
        return max(float(largest), float(coded), abs(self.reset_voltage)) + abs(self.hold)

    def _widths(self) -> tuple[float, float]:
        """The shortest write pulse, and the longest pulse."""
        seconds = self.width + self.width_trim.astype(np.float64)
        both = seconds, seconds + self.width_trim_ap
        return float(np.minimum(*both).min()), max(float(np.maximum(*both).max()), self.reset_width)

    @takes(temperature=Real(above=0))
    def sequence(self, temperature: float, field_on: bool = True) -> Sequence:
        """What the array is to do, at a temperature in kelvin, in the lab's field or without it."""

        def unless_zero(trim: NDArray[np.float32]) -> NDArray[np.float64] | None:
            return trim.astype(np.float64) if trim.any() else None

        trims = Trims(*map(unless_zero, (self.width_trim, self.trim_ap, self.width_trim_ap)))
        if self.mode == "READ":
            volts = np.zeros(self.codes.shape)
        else:
            volts = self.code_volts if self.coded else self.voltage + self.trim.astype(np.float64)
        return Sequence(
            selection=self.selection,
            mask=self.mask,
            toggle=self.mode not in ("RES", "WRIT"),
            voltage=volts,
            width=self.width,
            trims=trims if self.mode in ("RES", "TOGG") else Trims(),
            reset_voltage=self.reset_voltage,
            reset_width=self.reset_width,
            thresholds=self.threshold.astype(np.float64),
            read_voltage=self.read_voltage,
            settle=self.settle,
            temperature=temperature,
            period=self.period,
            hold=self.hold,
            field_on=field_on,
            pulses=self.mode != "READ",
            coded=self.coded or self.mode == "READ",
        )

"""Roles: what an instrument does on the bench, the path to the device, and the state that is safe."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from drivers import ArrayBoard
from entropy.arguments import Real, real, take_fields

from .._errors import BenchError
from ._file import ArraySection, LimitsSection

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SignalPath:
    """The way from an instrument's output to the device.

    `source_impedance` and `assumed_load` (what the instrument's settings assume) in ohms; `attenuation` in
    decibels; `overshoot`: fraction by which the peak exceeds the set value; `load`: ohms of the device. Raises
    TypeError or ValueError for what is no such number; `assumed_load` alone may be infinite.
    """

    source_impedance: float
    assumed_load: float
    attenuation: float
    overshoot: float
    load: float

    def __post_init__(self) -> None:
        take_fields(
            self, source_impedance=Real(0), attenuation=Real(0), overshoot=Real(0), load=Real(above=0)
        )
        if self.assumed_load != math.inf:
            take_fields(self, assumed_load=Real(above=0))

    @property
    def gain(self) -> float:
        """Volts at the device per volt set; a generator set for 50 Ω puts twice that across 78 kΩ."""
        open_circuit = 1 + self.source_impedance / self.assumed_load
        loaded = self.load / (self.source_impedance + self.load)
        return open_circuit * loaded * 10 ** (-self.attenuation / 20)

    @property
    def peak_gain(self) -> float:
        """Volts of the peak at the device per volt set."""
        return self.gain * (1 + self.overshoot)


class Role(Protocol):
    """What the bench needs of every role; the role, not the driver, knows its safe state."""

    name: str

    def prepare(self) -> None:
        """Put the limits into driver and box; refuse a box that somebody else uses."""
        ...

    def safe_state(self) -> bool:
        """Bring the box to its safe state; returns whether the box confirms it, raises where it is silent."""
        ...

    def findings(self) -> list[tuple[str, bool, str]]:
        """Look at the box without changing anything: what was looked at, whether it is well, and why."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Say everything that is known, JSON-able."""
        ...


_PERIODS, _SETTLES = (6e-9, 1.0), (1e-9, 1.0)  # s: protocol, "Commands"
_SHORTEST = 2e-12  # s; a board's pulse is at least half as wide


@dataclass(frozen=True, eq=False)
class Trims:
    """What each cell's write pulse has more than the common one, by the state that it starts from.

    Volts at the device and seconds, each (rows, columns) or one value for all.
    """

    voltage_p: np.ndarray | float = 0.0
    width_p: np.ndarray | float = 0.0
    voltage_ap: np.ndarray | float = 0.0
    width_ap: np.ndarray | float = 0.0

    @property
    def only_voltage(self) -> bool:
        """Whether a board of protocol 1.0 could do it: volts, for both states alike."""
        differ = np.any(np.asarray(self.voltage_p) != np.asarray(self.voltage_ap))
        return not (differ or np.any(self.width_p) or np.any(self.width_ap))


class BoardRole:
    """One board that pulses, selects and reads; all its volts here are volts at the device.

    Safe state: acquisition aborted, output off (pulses and read voltage with it).
    """

    def __init__(
        self,
        board: ArrayBoard,
        path: SignalPath,
        limits: LimitsSection,
        array: ArraySection,
        *,
        source: str,
        instrument: str,
    ) -> None:
        self.name = "board"
        self.board = board
        self.path = path
        self.limits = limits
        self.array = array
        self.instrument = instrument
        self.prepared = False
        self._source = source
        self._effective: dict[str, float] = {}
        self._trims: dict[str, np.ndarray] = {}  # as the board has them, where they are not 0

    def box_limits(self) -> dict[str, float]:
        """Compute the limits at the board's output: the device's divided by the gain of the path."""
        return {
            "voltage": self.limits.pulse_voltage / self.path.peak_gain,
            "width": self.limits.pulse_width,
            "read_voltage": self.limits.read_voltage / self.path.peak_gain,
        }

    def prepare(self) -> None:
        """Reset the board's settings and lower its limits, and the driver's ranges, to those of the file.

        Raises BenchError where the output is on: then somebody else owns the board.
        """
        board: Any = self.board
        if board.output_enabled:
            raise BenchError(
                f"the output of the {self.instrument!r} ({board.resource}) is on, so another program uses it: "
                "let that one end, or switch off with 'memtj bench off'"
            )
        self._check_size()
        board.reset()
        self._trims.clear()
        wanted = self.box_limits()
        # A limit cannot be set below a present setting, so these are brought under it first.
        board.width = min(board.width, wanted["width"])
        board.reset_width = min(board.reset_width, wanted["width"])
        board.voltage_limit = min(board.voltage_limit, wanted["voltage"])
        board.width_limit = min(board.width_limit, wanted["width"])
        board.read_voltage_limit = min(board.read_voltage_limit, wanted["read_voltage"])
        volts, seconds, read = board.voltage_limit, board.width_limit, board.read_voltage_limit
        board.voltage_values = board.reset_voltage_values = (-volts, volts)
        board.width_values = board.reset_width_values = (0, seconds)
        board.read_voltage_values = (-read, read)
        self._effective = {"voltage": volts, "width": seconds, "read_voltage": read}
        self.prepared = True

    def safe_state(self) -> bool:
        """Abort and switch the output off; returns whether the board confirms; raises if it is silent."""
        return self.board.switch_off()

    # What procedures set, in volts at the device

    def set_write_pulse(self, voltage: float, width: float, period: float) -> None:
        """Set the write pulse: volts at the device, seconds, seconds; raises BenchError above a limit."""
        board: Any = self.board
        voltage, width = _number(voltage, "voltage"), _number(width, "width", 0)
        period = _number(period, "period", 0)
        self.check_pulse("write pulse", voltage, width)
        if width > self.limits.duty * period:
            raise BenchError(
                f"a pulse of {width:g} s every {period:g} s is above limits.duty = {self.limits.duty:g} in "
                f"{self._source}: choose a longer period"
            )
        real(period, "period", least=_PERIODS[0], most=_PERIODS[1])
        board.voltage = self._to_box(voltage)
        # The board keeps the period above the widths at every step.
        if period >= max(board.width, board.reset_width):
            board.period = period
        board.width = width
        board.period = period

    def set_reset_pulse(self, voltage: float, width: float) -> None:
        """Set the reset pulse: volts at the device, seconds; raises BenchError above a limit."""
        board: Any = self.board
        voltage, width = _number(voltage, "voltage"), _number(width, "width", 0)
        self.check_pulse("reset pulse", voltage, width)
        if width > board.period:
            raise BenchError(
                f"a reset pulse of {width:g} s does not fit into a period of {board.period:g} s: choose a longer period"
            )
        board.reset_voltage = self._to_box(voltage)
        board.reset_width = width

    def set_read(self, voltage: float, settle: float) -> None:
        """Set the read voltage in volts at the device, and the settle time in seconds."""
        board: Any = self.board
        voltage = real(voltage, "voltage")
        settle = real(settle, "settle", least=_SETTLES[0], most=_SETTLES[1])
        self._check("read voltage", "read_voltage", abs(voltage) * (1 + self.path.overshoot), "V")
        limit = self._effective["read_voltage"]
        board.read_voltage = float(np.clip(voltage / self.path.gain, -limit, limit))
        board.settle = settle

    def set_trims(self, trims: np.ndarray, voltage: float) -> None:
        """Set the volts at the device that are added to each cell's write pulse of `voltage` volts."""
        self.apply_trims(Trims(voltage_p=trims, voltage_ap=trims), voltage, 0.0)

    def apply_trims(self, trims: Trims, voltage: float, width: float) -> int:
        """Set all trims of a write pulse of `voltage` volts and `width` seconds, also while an acquisition is running.

        Only what differs from what this role set before is sent; returns how many commands that took, by which the
        `generation` of later blocks grows. Raises BenchError above a limit, BoardError where the board cannot do it.
        """
        voltage, width = _number(voltage, "voltage"), _number(width, "width", 0)
        shape, gain = (self.array.rows, self.array.columns), self.path.gain
        volts = [self._for_each_cell(trims, name) for name in ("voltage_p", "voltage_ap")]
        seconds = [self._for_each_cell(trims, name) for name in ("width_p", "width_ap")]
        peak = max(float(np.abs(voltage + each).max()) for each in volts)
        self._check("trimmed write pulse", "pulse_voltage", peak * (1 + self.path.overshoot), "V")
        self._check("trimmed write pulse", "pulse_width", max(float((width + s).max()) for s in seconds), "s")
        wanted = {
            "trims": volts[0] / gain,
            "antiparallel_trims": (volts[1] - volts[0]) / gain,
            "width_trims": seconds[0],
            "antiparallel_width_trims": seconds[1] - seconds[0],
        }
        limits = {"trims": self._effective["voltage"], "width_trims": self._effective["width"]}
        least = {"trims": -np.inf, "width_trims": _SHORTEST}
        changed = 0
        for both, beyond, common in (
            ("trims", "antiparallel_trims", voltage / gain), ("width_trims", "antiparallel_width_trims", width)
        ):  # fmt: skip
            # What was added to pulses from AP so far must not take the new trims out of the board's range on the way.
            between = common + wanted[both] + self._trims.get(beyond, 0.0)
            if np.abs(between).max() > limits[both] * (1 - 1e-6) or np.min(between) < least[both]:
                changed += self._send(beyond, np.zeros(shape))
            changed += self._send(both, np.broadcast_to(wanted[both], shape))
            changed += self._send(beyond, np.broadcast_to(wanted[beyond], shape))
        return changed

    def _for_each_cell(self, trims: Trims, name: str) -> np.ndarray:
        """Give one kind of trims as float64, (rows, columns); raises ValueError where they are none, or no numbers."""
        values, shape = np.asarray(getattr(trims, name)), (self.array.rows, self.array.columns)
        if (
            values.dtype.kind not in "iuf"
            or values.shape not in ((), (1, 1), shape)
            or not np.isfinite(values).all()
        ):
            raise ValueError(
                f"{name} of the trims is one finite number, or one for each of {shape[0]} × {shape[1]} cells"
            )
        return np.broadcast_to(values.astype(float), shape)

    def _send(self, name: str, values: np.ndarray) -> int:
        """Set one table of trims where it differs from what the board has; returns how many commands that took."""
        values = values.astype(np.float32)
        if np.array_equal(values, self._trims.get(name, np.zeros_like(values))):
            return 0
        setattr(self.board, name, values)
        self._trims[name] = values
        return 1

    def trim_range(self, voltage: float) -> tuple[float, float]:
        """Give the volts by which a write pulse of `voltage` volts may be trimmed at the device."""
        voltage = real(voltage, "voltage")
        # The board adds in float32, so a hair below the limit.
        most = self._effective["voltage"] * self.path.gain * (1 - 1e-6)
        return -most - voltage, most - voltage

    def check_pulse(self, what: str, voltage: float, width: float) -> None:
        """Raise BenchError where a pulse (volts at the device, seconds) is above a limit of the file."""
        voltage, width = _number(voltage, "voltage"), _number(width, "width", 0)
        self._check(what, "pulse_voltage", abs(voltage) * (1 + self.path.overshoot), "V")
        self._check(what, "pulse_width", width, "s")
        if abs(voltage) / self.path.gain > self._effective["voltage"] * (1 + 1e-9):
            raise BenchError(
                f"a {what} of {voltage:g} V needs {abs(voltage) / self.path.gain:g} V at the output of the "
                f"{self.instrument!r}, whose own limit is {self._effective['voltage']:g} V: limits only go down "
                "until the board's power is cycled"
            )

    def findings(self) -> list[tuple[str, bool, str]]:
        """Look at limits, size, interlock, temperature, output and origin, changing nothing."""
        board: Any = self.board
        found = [("protocol", True, f"version {board.protocol_version}")]
        rows, columns = board.size
        same = (rows, columns) == (self.array.rows, self.array.columns)
        found.append(("array", same, f"{rows} × {columns} cells" + ("" if same else self._size_wanted())))
        present = {
            "voltage": board.voltage_limit,
            "width": board.width_limit,
            "read_voltage": board.read_voltage_limit,
        }
        for key, wanted in self.box_limits().items():
            unit = "s" if key == "width" else "V"
            there = present[key]
            if there < wanted * (1 - 1e-6):
                said = f"is {there:.6g} {unit}, below the {wanted:.6g} {unit} of the file: cycle its power to raise it"
            elif there > wanted * (1 + 1e-6):
                said = f"is {there:.6g} {unit}, lowered to {wanted:.6g} {unit} when it is used"
            else:
                said = f"is {there:.6g} {unit}, as the file says"
            # Below is safe, so no fault; but a pulse may be refused for it.
            found.append((f"{key} limit", True, f"the board's own {said}"))
        closed = board.interlock_closed
        found.append(("interlock", closed, "closed" if closed else "open: close it, the output stays off"))
        found.append(("temperature", True, f"{board.temperature:.2f} K"))
        found.append(("output", True, "on, in use by another program" if board.output_enabled else "off"))
        found.append(("origin", True, f"bits come from a {board.origin}"))
        return found

    def snapshot(self) -> dict[str, Any]:
        """Say who the board is, its path and the limits in force."""
        board: Any = self.board
        return {
            "instrument": self.instrument,
            "path": {**_finite(asdict(self.path)), "gain": self.path.gain},
            "limits_at_the_box": dict(self._effective) or self.box_limits(),
            "origin": board.origin,
            "protocol": board.protocol_version,
            "temperature": board.temperature,
            "watchdog_trips": board.watchdog_trips,
        }

    def _check(self, what: str, key: str, value: float, unit: str) -> None:
        limit = getattr(self.limits, key)
        if not value <= limit * (1 + 1e-12):
            raise BenchError(
                f"a {what} of {value:g} {unit} at the device is above limits.{key} = {limit:g} {unit} in "
                f"{self._source}: choose a smaller one"
            )

    def _to_box(self, voltage: float) -> float:
        limit = self._effective["voltage"]
        return float(np.clip(voltage / self.path.gain, -limit, limit))

    def _check_size(self) -> None:
        board: Any = self.board
        size: Sequence[int] = board.size
        if tuple(size) != (self.array.rows, self.array.columns):
            raise BenchError(
                f"the {self.instrument!r} ({board.resource}) has {size[0]} × {size[1]} cells"
                + self._size_wanted()
            )

    def _size_wanted(self) -> str:
        return f" and {self._source} says {self.array.rows} × {self.array.columns}: correct [array]"


def _number(value: float, name: str, least: float = -math.inf) -> float:
    """Give a number from `least` on as a float; infinity for one that is not finite: its limit refuses it by name."""
    try:
        number = real(value, name)
    except ValueError:
        return math.inf
    return real(number, name, least=least)


def _finite(values: dict[str, float]) -> dict[str, float | str]:
    """Write an infinite load as text, since JSON has no word for it."""
    return {key: value if np.isfinite(value) else "inf" for key, value in values.items()}

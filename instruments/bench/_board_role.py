"""The board of a bench: one box that pulses, selects and reads, in volts at the device."""

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np

from drivers import ArrayBoard
from entropy.arguments import real

from .._errors import BenchError
from ._board_draws import BoardDraws
from ._board_limits import BoardLimits, limited_number
from ._file import ArraySection, LimitsSection
from ._limits import Limits
from ._role import SafeStep
from ._signal_path import SignalPath
from ._trims import Trims, TrimTables

_PERIODS, _SETTLES = (6e-9, 1.0), (1e-9, 1.0)  # s: protocol, "Commands"


class BoardRole:
    """One board that pulses, selects and reads; all its volts here are volts at the device.

    Safe state: acquisition aborted, output off (pulses, read and hold voltage with it). `draws`: the pulse table, the
    hold voltage, what else draws need.
    """

    safe_step: ClassVar[SafeStep] = SafeStep.PULSES
    safe_words: ClassVar[str] = "off, confirmed by the board"
    where_silent: ClassVar[str] = "its watchdog switches it off; look at it before going on"

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
        self.board = board
        self.path = path
        self.limits = limits
        self.array = array
        self.instrument = instrument
        self.prepared = False
        self._source = source
        self._limits = BoardLimits(path, limits, source=source, instrument=instrument)
        self.draws = BoardDraws(board, self._limits)
        self._trims = TrimTables(board)
        self._trim_volts: np.ndarray | float = 0.0  # at the device, for both directions: what the tables hold

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
        self._trims.forget()
        self._trim_volts = 0.0
        self._limits.forget()
        self.draws.forget()
        wanted = Limits.through(self.path, self.limits)
        # A limit cannot be set below a present setting, so these are brought under it first.
        board.width = min(board.width, wanted.width)
        board.reset_width = min(board.reset_width, wanted.width)
        board.voltage_limit = min(board.voltage_limit, wanted.voltage)
        board.width_limit = min(board.width_limit, wanted.width)
        board.read_voltage_limit = min(board.read_voltage_limit, wanted.read_voltage)
        volts, seconds, read = board.voltage_limit, board.width_limit, board.read_voltage_limit
        board.voltage_values = board.reset_voltage_values = (-volts, volts)
        board.width_values = board.reset_width_values = (0, seconds)
        board.read_voltage_values = (-read, read)
        self._limits.in_force = Limits(volts, seconds, read)
        if self.board.has_draws:
            self.draws.prepare()
        self.prepared = True

    def safe_state(self) -> bool:
        """Abort and switch the output off; returns whether the board confirms; raises if it is silent."""
        return self.board.switch_off()

    # What procedures set, in volts at the device

    def set_write_pulse(self, voltage: float, width: float, period: float) -> None:
        """Set the write pulse: volts at the device, seconds, seconds; raises BenchError above a limit."""
        board: Any = self.board
        voltage, width = limited_number(voltage, "voltage"), limited_number(width, "width", 0)
        period = limited_number(period, "period", 0)
        self.check_pulse("write pulse", voltage, width)
        peak = float(np.abs(voltage + self._trim_volts).max())
        self._limits.check_sum(peak)
        if width > self.limits.duty * period:
            raise BenchError(
                f"a pulse of {width:g} s every {period:g} s is above limits.duty = {self.limits.duty:g} in "
                f"{self._source}: choose a longer period"
            )
        real(period, "period", least=_PERIODS[0], most=_PERIODS[1])
        with self._limits.setting("write", peak):
            board.voltage = self._limits.to_box(voltage)
        # The board keeps the period above the widths at every step.
        if period >= max(board.width, board.reset_width):
            board.period = period
        board.width = width
        board.period = period

    def set_reset_pulse(self, voltage: float, width: float) -> None:
        """Set the reset pulse: volts at the device, seconds; raises BenchError above a limit."""
        board: Any = self.board
        voltage, width = limited_number(voltage, "voltage"), limited_number(width, "width", 0)
        self.check_pulse("reset pulse", voltage, width)
        if width > board.period:
            raise BenchError(
                f"a reset pulse of {width:g} s does not fit into a period of {board.period:g} s: choose a longer period"
            )
        self._limits.check_sum(abs(voltage))
        with self._limits.setting("reset", abs(voltage)):
            board.reset_voltage = self._limits.to_box(voltage)
        board.reset_width = width

    def set_read(self, voltage: float, settle: float) -> None:
        """Set the read voltage in volts at the device, and the settle time in seconds."""
        board: Any = self.board
        voltage = real(voltage, "voltage")
        settle = real(settle, "settle", least=_SETTLES[0], most=_SETTLES[1])
        self._limits.check("read voltage", "read_voltage", abs(voltage) * (1 + self.path.overshoot), "V")
        limit = self._limits.in_force.read_voltage
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
        voltage, width = limited_number(voltage, "voltage"), limited_number(width, "width", 0)
        gain, in_force = self.path.gain, self._limits.in_force
        volts, seconds = trims.stacked((self.array.rows, self.array.columns))
        peak = float(np.abs(voltage + volts).max())
        self._limits.check("trimmed write pulse", "pulse_voltage", peak * (1 + self.path.overshoot), "V")
        self._limits.check_sum(peak)
        self._limits.check("trimmed write pulse", "pulse_width", float((width + seconds).max()), "s")
        with self._limits.setting("write", peak):
            commands = self._trims.send_voltages(
                volts[0] / gain, (volts[1] - volts[0]) / gain, voltage / gain, in_force.voltage
            )
        self._trim_volts = volts
        return commands + self._trims.send_widths(seconds[0], seconds[1] - seconds[0], width, in_force.width)

    def trim_range(self, voltage: float) -> tuple[float, float]:
        """Give the volts by which a write pulse of `voltage` volts may be trimmed at the device."""
        voltage = real(voltage, "voltage")
        # The board adds in float32, so a hair below the limit.
        most = self._limits.in_force.voltage * self.path.gain * (1 - 1e-6)
        return -most - voltage, most - voltage

    def check_pulse(self, what: str, voltage: float, width: float) -> None:
        """Raise BenchError where a pulse (volts at the device, seconds) is above a limit of the file."""
        self._limits.check_pulse(what, voltage, width)

    def findings(self) -> list[tuple[str, bool, str]]:
        """Look at limits, size, interlock, temperature, output and origin, changing nothing."""
        board: Any = self.board
        found = [("protocol", True, f"version {board.protocol_version}")]
        rows, columns = board.size
        same = (rows, columns) == (self.array.rows, self.array.columns)
        found.append(("array", same, f"{rows} × {columns} cells" + ("" if same else self._size_wanted())))
        for key, wanted in asdict(Limits.through(self.path, self.limits)).items():
            unit = "s" if key == "width" else "V"
            there = getattr(board, f"{key}_limit")
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
            "path": self.path.plain(),
            "limits_at_the_box": asdict(self._limits.in_force),
            "origin": board.origin,
            "protocol": board.protocol_version,
            "temperature": board.temperature,
            "watchdog_trips": board.watchdog_trips,
        }

    def _check_size(self) -> None:
        board: Any = self.board
        rows, columns = board.size
        if (rows, columns) != (self.array.rows, self.array.columns):
            raise BenchError(
                f"the {self.instrument!r} ({board.resource}) has {rows} × {columns} cells"
                + self._size_wanted()
            )

    def _size_wanted(self) -> str:
        return f" and {self._source} says {self.array.rows} × {self.array.columns}: correct [array]"

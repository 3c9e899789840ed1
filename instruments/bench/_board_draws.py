"""What draws need of a board: a table of pulse codes, and a hold voltage between the pulses; in volts at the device."""

from typing import Any

import numpy as np

from drivers import ArrayBoard

from .._errors import BenchError
from ._board_limits import BoardLimits, limited_number
from ._dac import DacScale


class BoardDraws:
    """The pulse table and the hold voltage of a board of protocol 1.2; all refuse what is above a limit.

    The hold voltage counts with each pulse: the sum of both magnitudes is within the limit however a board adds them.
    """

    def __init__(self, board: ArrayBoard, limits: BoardLimits) -> None:
        self._board: Any = board
        self._limits = limits
        self._scale: DacScale | None = None  # that of the table of codes that was set last

    def forget(self) -> None:
        """Note that the board was reset: it has no table and no hold voltage."""
        self._scale = None

    def prepare(self) -> None:
        """Lower the board's limit of the hold voltage, and the driver's ranges, to those of the file."""
        board, limits = self._board, self._limits
        wanted = limits.limits.hold_voltage / limits.path.peak_gain
        board.hold_voltage_limit = min(board.hold_voltage_limit, wanted)
        hold, volts = board.hold_voltage_limit, limits.in_force.voltage
        board.hold_voltage_values, board.dac_range_values = (-hold, hold), (-volts, volts)

    def dac(self) -> DacScale:
        """Ask the board what its codes stand for."""
        bits, scale, offset = self._board.dac
        gain = self._limits.path.gain
        return DacScale(bits, scale * gain, offset * gain)

    def set_dac_range(self, lowest: float, highest: float) -> DacScale:
        """Have the codes 1 to the highest one span so many volts; every code is 0 thereafter."""
        limits = self._limits
        self._check(max(abs(limited_number(lowest, "lowest")), abs(limited_number(highest, "highest"))))
        self._scale = None
        with limits.setting("coded", 0.0):
            self._board.dac_range = limits.to_box(lowest), limits.to_box(highest)
        return self.dac()

    def set_codes(self, codes: np.ndarray) -> None:
        """Set the code of each cell's pulse, (rows, columns); raises BenchError above a limit, and sets none then."""
        if self._scale is None:
            self._scale = self.dac()
        largest = float(np.abs(self._scale.volts(np.array([codes.min(), codes.max()]))).max())
        if self._scale.offset * self._scale.scale < 0:  # then a code between the two may be the largest
            largest = float(np.abs(self._scale.volts(codes)).max())
        self._check(largest)
        with self._limits.setting("coded", largest):
            self._board.codes = codes

    def check_scale(self) -> None:
        """Ask what the codes stand for once more; raises BenchError where it is not what the table was made for."""
        if self._scale is not None and (now := self.dac()) != self._scale:
            raise BenchError(
                f"a code of the {self._limits.instrument!r} stands for {now.offset:g} V + {now.scale:g} V × code now, "
                f"and the pulse table was made for {self._scale.offset:g} V + {self._scale.scale:g} V × code: "
                "look at who else changes the board, and set the table anew"
            )

    def set_hold(self, voltage: float) -> None:
        """Hold the cells at so many volts between pulses."""
        limits, magnitude = self._limits, abs(limited_number(voltage, "voltage"))
        limits.check("hold voltage", "hold_voltage", magnitude * (1 + limits.path.overshoot), "V")
        limits.check_sum(limits.largest_pulse, magnitude)
        with limits.setting("hold", magnitude):
            self._board.hold_voltage = voltage / limits.path.gain

    def note_hold(self) -> None:
        """Ask at how many volts the cells are held: it went off with the output, whoever switched that."""
        with self._limits.setting("hold", abs(self._board.hold_voltage) * self._limits.path.gain):
            pass

    def _check(self, pulse: float) -> None:
        self._limits.check_pulse("coded pulse", pulse, 0.0)
        self._limits.check_sum(pulse)

"""An array behind one array board."""

import contextlib
import logging
import math
import time
from typing import Any

import numpy as np

from drivers import ArrayBlock, BoardError
from entropy import DrawMode

from .._errors import BenchError
from ..bench import Bench, BoardRole, DacScale, Role, Trims
from ._array import Stop, read_to_the_end
from ._block import Block, Losses
from ._board_acquisition import BoardAcquisition, LossCount
from ._working_point import Mode, WorkingPoint

log = logging.getLogger(__name__)

_MOST_READINGS = 1 << 21  # of one block: protocol, "Commands"
_MEASURED = 1.0  # s between measurements of the temperature
_ALIVE = 0.5  # s between lines to a board that nothing is fetched from, well within its watchdog


class BoardArray:
    """The `Array` of a bench whose role `board` is everything.

    The role may be another one after `reconnect`, so it is asked of the bench each time.
    """

    most_pulses = 1 << 32  # its FIFO's, which a block never reaches

    def __init__(self, bench: Bench, point: WorkingPoint) -> None:
        role = bench.board
        board: Any = role.board
        self.name, self.identity, self.device = role.instrument, str(board.id), bench.array.device
        self.shape = bench.array.rows, bench.array.columns  # which the bench has checked
        self.simulated, self.has_all_trims = bool(board.origin != "device"), role.board.has_all_trims
        self.point = point
        self._mode: Mode | DrawMode | None = None  # what the board is set to
        self._bench = bench
        self._count = LossCount()
        self._fed = self._measured = -math.inf  # monotonic s
        self._kelvin = math.nan

    @property
    def role(self) -> BoardRole:
        """The role of the board."""
        return self._bench.board

    @property
    def pulse_seconds(self) -> float:
        """Give it by the protocol's formula."""
        return self.point.pulse_seconds(self.shape[0])

    @property
    def losses(self) -> Losses:
        return self._count.total

    def require_all_trims(self) -> None:
        if not self.has_all_trims:
            raise BenchError(
                f"the {self.name!r} follows protocol {self._board.protocol_version}, in which both directions have "
                "the same trims: tune with a reset, or update its firmware to protocol 1.1"
            )

    def temperature(self) -> float:
        now = time.monotonic()
        if now - self._measured > _MEASURED:
            self._kelvin, self._measured = float(self._board.temperature), now
        return self._kelvin

    def set_working_point(self, point: WorkingPoint) -> None:
        """Set pulses, reading and mode; blocks hold bits."""
        role, board = self.role, self._board
        role.set_write_pulse(point.voltage, point.width, point.period)
        role.set_reset_pulse(point.reset_voltage, point.reset_width)
        role.set_read(point.read_voltage, point.settle)
        board.payload, board.mode = "bits", point.mode
        self.point = point
        self._mode = point.mode

    def set_mask(self, used: np.ndarray | bool) -> None:
        self._board.mask = used if isinstance(used, bool) else used.reshape(self.shape)

    def set_thresholds(self, thresholds: np.ndarray) -> None:
        self._board.thresholds = thresholds.reshape(self.shape)

    def set_trims(self, trims: Trims) -> int:
        rows, columns = self.shape
        return self.role.apply_trims(
            trims.shaped(rows * columns, self.shape), self.point.voltage, self.point.width
        )

    def trim_range(self) -> tuple[float, float]:
        return self.role.trim_range(self.point.voltage)

    def longest_pulse(self) -> float:
        """Give the least of the limits, a hair below since the board adds in float32."""
        limits = self.role.limits
        most = min(limits.pulse_width, limits.duty * self.point.period, self._board.width_limit)
        return most * (1 - 1e-6)

    def switch_on(self, watchdog: float, hold: float = 0.0) -> None:
        board = self._board
        board.watchdog = watchdog
        if not board.interlock_closed:
            raise BenchError(f"the interlock of the {self.name!r} is open: close it and start again")
        draws = self.role.draws
        draws.check_scale()
        board.output_enabled = True
        if not self.role.board.has_draws:
            return
        try:
            draws.check_scale()  # from now on nobody else can change it
            draws.note_hold()
            if hold:
                draws.set_hold(hold)  # before the field, in which cells may forget
            if not board.field_enabled:  # a draw before has switched it off; pulses need it
                board.field_enabled = True
        except BaseException:
            self.switch_off()
            raise

    def switch_off(self) -> bool:
        """Abort and switch off, or close a lost connection, which a board switches off at where the close arrives."""
        role = self._bench.roles.get("board")
        if not isinstance(role, BoardRole):
            return False  # the bench was left, and did it
        if role.board.lost:
            with contextlib.suppress(Exception):
                role.board.close()
            return False
        try:
            if role.safe_state():
                return not (role.board.has_draws and self._board.field_enabled)
            log.critical("the output of the board is still on: switch it off by hand")
        except BoardError as error:
            log.warning("%s; the bench tries again when it is left", error)
        return False

    def keep_alive(self) -> None:
        """Look at the error queue and the output, no more than twice a second."""
        now, board = time.monotonic(), self._board
        if now - self._fed < _ALIVE:
            return
        self._fed = now
        try:
            board.check_errors()
            if not board.output_enabled:
                board.check_errors()  # what switched it off may have come between the two questions
                raise BoardError(
                    f"the output of {board.name} at {board.resource} was switched off by somebody else"
                )
        except BoardError:
            self.switch_off()  # what waits meanwhile may wait for long
            raise

    def reconnect(self) -> None:
        """Connect again; what lies in the board's FIFO then is lost."""
        left = 0

        def look(role: Role) -> None:
            nonlocal left
            if isinstance(role, BoardRole):
                board: Any = role.board
                left = board.fifo[0]

        try:
            self._bench.reconnect(self.name, look)
        finally:
            self._mode = None
            self._count.lose(left, f"the lost connection has left {left} blocks in the board")

    def require_draws(self) -> None:
        if not self.role.board.has_draws:
            raise BenchError(
                f"the {self.name!r} follows protocol {self._board.protocol_version}, which has no pulse table, hold "
                "voltage and field: update its firmware to protocol 1.2"
            )

    def dac(self) -> DacScale:
        self.require_draws()
        return self.role.draws.dac()

    def set_dac_range(self, lowest: float, highest: float) -> DacScale:
        self.require_draws()
        return self.role.draws.set_dac_range(lowest, highest)

    def set_pulse_table(self, codes: np.ndarray) -> None:
        self.require_draws()
        self.role.draws.set_codes(codes.reshape(self.shape))

    def draw_once(self, mode: DrawMode) -> Block:
        self.require_draws()
        try:
            acquisition = self.acquire(1, 1, strict=True, mode=mode)
            while (block := next(acquisition)) is None:
                pass  # the board waits for it; where it never comes, `next` says so
        except BoardError as error:
            raise BoardError(
                f"{error}; whether the cells had their pulse is not known: read them",
                number=error.number,
                text=error.text,
                lost=error.lost,
                partial=error.partial,
            ) from error
        return block

    def hold(self, volts: float) -> None:
        self.require_draws()
        self.role.draws.set_hold(volts)

    def field(self, on: bool) -> None:
        self.require_draws()
        self._board.field_enabled = on

    def acquire(
        self, pulses: int, pulses_per_block: int, *, strict: bool = False, mode: DrawMode | None = None
    ) -> BoardAcquisition[Block]:
        wanted = mode or self.point.mode
        if self._mode != wanted and (mode or self._mode):
            self._board.mode = wanted
            self._mode = wanted
        return BoardAcquisition(
            self.role.board, pulses, pulses_per_block, self._count, self._block, strict=strict
        )

    def toggle_readings(self, pulses: int, stop: Stop) -> np.ndarray:
        """Acquire raw readings; what blocks hold and the mode are as before then."""
        board, cells = self._board, self.shape[0] * self.shape[1]
        board.mode, board.pulses_per_block, board.payload = "toggle", 1, "resistances"
        per_block = max(1, min(pulses, _MOST_READINGS // cells))
        try:
            acquisition = BoardAcquisition(
                self.role.board, pulses, per_block, self._count, _readings, strict=True
            )
            return np.concatenate(list(read_to_the_end(acquisition, stop)))
        finally:
            self._back_to_bits()

    def resistances(self) -> np.ndarray:
        return self.role.board.resistances.ravel()

    @property
    def _board(self) -> Any:
        """The driver; what pymeasure declares has no types."""
        return self.role.board

    def _back_to_bits(self) -> None:
        """Bring payload and mode back, also while an error is on its way out."""
        board = self._board
        if board.lost:
            return
        try:
            board.payload, board.mode = "bits", self.point.mode
            self._mode = self.point.mode
        except BoardError as error:
            log.warning("the payload could not be set back: %s", error)

    def _block(self, block: ArrayBlock) -> Block:
        assert block.bits is not None  # they were asked for
        return Block(
            block.sequence, block.pulses, block.cells, block.time, block.bits, block.valid, block.failed_resets,
            block.stalled, block.generation, self.losses,
        )  # fmt: skip


def _readings(block: ArrayBlock) -> np.ndarray:
    assert block.resistances is not None  # they were asked for
    return block.resistances

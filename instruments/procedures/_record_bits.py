"""The procedure that records random bits: tune each cell, pulse, read, write to the store."""

import contextlib
import logging
import time
from typing import Any, ClassVar

import numpy as np
from pymeasure.experiment import BooleanParameter, FloatParameter, IntegerParameter, ListParameter

from drivers import ArrayBlock, BoardError
from entropy import CELL_DTYPE, Store

from .._bench import Bench
from .._errors import BenchError
from .._roles import BoardRole
from ._bench_procedure import BenchProcedure
from ._block_writer import BlockWriter, Settings, Written
from ._calibration import Cells, Stopped, check_running, fetch, measure_states, tune
from ._compaction import compact, count_ones, lag1
from ._summary import RecordingProgress, RecordingSummary, energy_per_bit

log = logging.getLogger(__name__)

_MOST_BITS = 1 << 26  # of one block: protocol, "Commands"
_ALIVE = 0.5  # s between lines to a board that nothing is fetched from, well within its watchdog
_LOOK = 0.05  # s between looks at whether consumers have caught up


class RecordBits(BenchProcedure):
    """Records bits of the whole array into a store, one row of DATA_COLUMNS for each block.

    Start-up measures each cell's two resistances and, with `calibrate`, trims its pulse until it switches every
    other time; cells that cannot be used are masked and reported. Then blocks are read while those before are
    written. Set `bench` and `store` before it is run; afterwards `summary` says what it amounted to. While
    it runs `progress` is a fresh RecordingProgress.
    """

    voltage: Any = FloatParameter("Pulse voltage", units="V", default=0.85)
    width: Any = FloatParameter("Pulse width", units="s", minimum=0, default=0.30e-9)
    period: Any = FloatParameter("Pulse period", units="s", minimum=6e-9, default=6e-9)
    reset_voltage: Any = FloatParameter("Reset voltage", units="V", default=1.28)
    reset_width: Any = FloatParameter("Reset width", units="s", minimum=0, default=0.58e-9)
    mode: Any = ListParameter("Sequence", choices=["reset", "toggle"], default="reset")
    read_voltage: Any = FloatParameter("Read voltage", units="V", default=0.1)
    settle: Any = FloatParameter("Settle time", units="s", minimum=1e-9, default=1e-6)
    bits: Any = IntegerParameter("Bits wanted", minimum=0, maximum=2**62, default=2**26)
    block_bits: Any = IntegerParameter("Bits per block", minimum=1, maximum=_MOST_BITS, default=2**23)
    calibrate: Any = BooleanParameter("Trim the cells", default=True)
    ahead: Any = IntegerParameter("Most free bits in the store", minimum=0, maximum=2**62, default=0)
    watchdog: Any = FloatParameter("Watchdog time-out", units="s", minimum=1, maximum=60, default=5.0)

    DATA_COLUMNS: ClassVar[list[str]] = [
        "Block",
        "Bits",
        "Ones fraction",
        "Lag-1",
        "Failed resets",
        "Board time (s)",
        "Host time (s)",
        "Rate (bit/s)",
        "Temperature (K)",
        "Stalls",
    ]

    def __init__(self, *, bench: Bench | None = None, store: Store | None = None, **parameters: Any) -> None:
        super().__init__(bench=bench, **parameters)
        self.store = store
        self.progress = RecordingProgress()
        self.summary: RecordingSummary | None = None
        self._cells: Cells | None = None
        self._writer: BlockWriter | None = None
        self._tally = _Tally()

    # Start-up

    def prepare(self) -> None:
        """Check limits, arm the watchdog, switch on, and measure the cells."""
        role = self._role()
        if self.store is None:
            raise BenchError("RecordBits has no store: set its 'store' before it is run")
        self._at("preparing")
        compact(np.zeros(1, np.uint8), np.zeros(1, np.uint8))  # compiled before anything is on
        board: Any = role.board
        role.set_write_pulse(self.voltage, self.width, self.period)
        role.set_reset_pulse(self.reset_voltage, self.reset_width)
        role.set_read(self.read_voltage, self.settle)
        board.watchdog = self.watchdog
        if not board.interlock_closed:
            raise BenchError(f"the interlock of the {role.instrument!r} is open: close it and start again")
        board.mask = True
        board.output_enabled = True
        with contextlib.suppress(Stopped):  # the Worker asks itself whether to go on
            self._measure_cells(role)

    def _measure_cells(self, role: BoardRole) -> None:
        board: Any = role.board
        self._at("thresholds")
        cells = self._cells = measure_states(role, self.voltage, self.should_stop)
        shape = board.size
        board.thresholds = np.where(cells.used, cells.threshold, 1e9).reshape(shape)
        self._refuse_if_none(cells)
        board.mask = cells.used.reshape(shape)
        self._at("trims")
        tune(role, cells, self.voltage, self.mode, self.should_stop, trims=self.calibrate)
        self._refuse_if_none(cells)
        board.mask = cells.used.reshape(shape)
        for row, column, reason in self._quarantined(cells)[:20]:
            log.warning("cell %d, %d is left out: %s", row, column, reason)

    def _refuse_if_none(self, cells: Cells) -> None:
        if cells.used.any():
            return
        reasons, counts = np.unique(cells.reason.astype(str), return_counts=True)
        listed = ", ".join(f"{count} cells: {reason}" for reason, count in zip(reasons, counts, strict=True))
        raise BenchError(
            f"no cell of the array can be used ({listed}): check contacts, pulse voltage and read voltage"
        )

    # The recording

    def measure_all(self) -> None:
        """Read blocks from the board while the ones before are written to the store."""
        role, cells = self._role(), self._cells
        assert cells is not None
        assert self.store is not None
        board: Any = role.board
        began = time.monotonic()
        self._writer = BlockWriter(
            self.store,
            self._recording(role, cells),
            Settings(self.voltage, self.width, self.read_voltage),
            cells.readings,
            self._written,
        )
        self._tally = _Tally(began=began)
        self._at("recording")
        try:
            self._writer.open()
            per_pulse = len(cells.used)
            board.payload = "bits"
            board.mode = self.mode
            while self._missing() and not self.should_stop():
                self._acquire(role, int(cells.used.sum()), per_pulse)
        finally:
            self._end(role, cells)

    def _acquire(self, role: BoardRole, usable: int, per_pulse: int) -> None:
        """Run one acquisition of as many pulses as are still wanted, and hand over what it delivers."""
        board: Any = role.board
        pulses = -(-self._missing() // usable) if self.bits else 0
        most = max(1, min(self.block_bits, _MOST_BITS) // per_pulse)
        board.pulses = pulses
        board.pulses_per_block = min(most, pulses) if pulses else most
        role.board.start()
        ended = False
        while not ended and self._missing() and not self.should_stop():
            if self._consumers_are_behind():
                self._wait_for_consumers(role)
                continue
            block, again = fetch(role.board)
            self._tally.again += again
            if block is None:
                check_running(role.board)
                continue
            ended = block.last
            self._tally.fetched += _usable(block)
            self._hand_over(role, block)
        # After the last block too: that it was fetched does not say that the board is idle again. What is raised
        # above switches off at once (`_end`), which ends the acquisition as well.
        self._abort(role)

    def _hand_over(self, role: BoardRole, block: ArrayBlock) -> None:
        assert self._writer is not None
        now = time.time()
        if now - self._tally.looked > 1.0:
            board: Any = role.board
            self._tally.temperature, self._tally.looked = board.temperature, now
        self._tally.stalls = max(self._tally.stalls, block.stalls)
        self._writer.put(block, now, self._tally.temperature, lambda: self._keep_alive(role))

    def _consumers_are_behind(self) -> bool:
        """Say whether `ahead` free bits are in the store, or on their way there."""
        if not self.ahead or self.store is None:
            return False
        tally = self._tally
        # What is free now is at most what was free when it was last asked for, and what came since.
        if tally.free_then + tally.fetched - tally.fetched_then < self.ahead:
            return False
        now = time.monotonic()
        if now - tally.asked >= _LOOK:
            tally.asked = now
            # First what was written: a block that comes in between is counted twice for a moment, never missed.
            tally.fetched_then = tally.written
            tally.free_then = self.store.accounts().free
        return tally.free_then + tally.fetched - tally.fetched_then >= self.ahead

    def _wait_for_consumers(self, role: BoardRole) -> None:
        self._at("recording", waiting=True)
        self._keep_alive(role)
        time.sleep(_LOOK)

    def _keep_alive(self, role: BoardRole) -> None:
        """Feed the board's watchdog while nothing is fetched, and see whether its output is still on."""
        now = time.monotonic()
        if now - self._tally.fed >= _ALIVE:
            self._tally.fed = now
            board: Any = role.board
            board.check_errors()
            if not board.output_enabled:
                raise BoardError(
                    f"the output of {board.name} at {board.resource} was switched off by somebody else"
                )

    def _missing(self) -> int:
        """Bits that are still wanted; 1 for ever where there is no end."""
        return max(self.bits - self._tally.fetched, 0) if self.bits else 1

    def _written(self, written: Written) -> None:
        """Note a block that is in the store; called by the writer's thread."""
        tally = self._tally
        tally.add(written, self._pulse_seconds())
        self._at("recording")
        block = written.block
        self.emit(
            "results",
            {
                "Block": tally.blocks - 1,
                "Bits": written.bits,
                "Ones fraction": written.ones / written.bits if written.bits else float("nan"),
                "Lag-1": lag1(written.ones, written.bits, written.changed, written.pairs),
                "Failed resets": block.failed_resets,
                "Board time (s)": block.time,
                "Host time (s)": written.host_time,
                "Rate (bit/s)": tally.rate(),
                "Temperature (K)": written.temperature,
                "Stalls": block.stalls,
            },
        )
        if self.bits:
            self.emit("progress", min(100.0, 100 * tally.written / self.bits))

    # The end

    def make_safe(self) -> None:
        """Switch off and ask whether it is; the bench does so once more when it is left."""
        role = self.bench.roles.get("board") if self.bench is not None else None
        try:
            if isinstance(role, BoardRole) and not role.board.lost and not role.safe_state():
                log.critical("the output of the board is still on: switch it off by hand")
        except BoardError as error:
            log.warning("%s; the bench tries again when it is left", error)
        if self._writer is not None and self._writer.is_alive():
            self._writer.finish()

    def _end(self, role: BoardRole, cells: Cells) -> None:
        """Switch off at once, then let the writer finish, and sum up."""
        assert self._writer is not None
        self._switch_off(role)
        try:
            if self._writer.ident is not None:
                self._writer.finish()
        finally:
            self.summary = self._sum_up(role, cells)

    def _abort(self, role: BoardRole) -> None:
        try:
            role.board.abort()
        except BoardError as error:
            log.warning("%s", error)

    def _switch_off(self, role: BoardRole) -> None:
        if role.board.lost:
            return  # the bench switches off over another connection, and the sooner the better
        try:
            role.safe_state()
        except BoardError as error:  # shutdown, and then the bench, try again and say so
            log.warning("%s", error)

    def _sum_up(self, role: BoardRole, cells: Cells) -> RecordingSummary:
        tally, used = self._tally, cells.used
        ones = tally.ones / tally.written if tally.written else float("nan")
        tried = tally.positions * used.mean()
        seconds = tally.last - tally.began
        return RecordingSummary(
            recording=self._writer.uuid if self._writer is not None else "",
            mode=self.mode,
            simulated=self._simulated,
            bits=tally.written,
            blocks=tally.blocks,
            ones_fraction=ones,
            lag1=lag1(tally.ones, tally.written, tally.changed, tally.pairs),
            failed_resets=tally.failed_resets,
            cells=len(used),
            cells_used=int(used.sum()),
            quarantined=tuple(self._quarantined(cells)),
            p_sw_mean=float(cells.p_sw[used].mean()),
            p_sw_spread=float(cells.p_sw[used].std()),
            seconds=seconds,
            record_bits_per_s=tally.written / seconds if seconds > 0 else 0.0,
            device_bits_per_s=tally.device_rate(),
            stalls=tally.stalls,
            fetched_again=tally.again,
            energy_per_bit=energy_per_bit(
                toggle=self.mode == "toggle",
                pulse_volts=self.voltage + cells.trim[used],
                width=self.width,
                reset_voltage=self.reset_voltage,
                reset_width=self.reset_width,
                read_voltage=self.read_voltage,
                settle=self.settle,
                r_p=cells.r_p[used],
                r_ap=cells.r_ap[used],
                ones_fraction=ones,
                usable_fraction=tally.written / tried if tried else 0.0,
            ),
        )

    # What goes into the file

    def _recording(self, role: BoardRole, cells: Cells) -> dict[str, Any]:
        board: Any = role.board
        rows, columns = board.size
        table = np.zeros(rows * columns, CELL_DTYPE)
        table["row"], table["column"] = np.divmod(np.arange(rows * columns), columns)
        for name in ("r_p", "r_ap", "threshold", "trim", "p_sw"):
            table[name] = getattr(cells, name)
        table["quarantined"] = ~cells.used
        self._simulated = bool(board.origin != "device")
        bench = self.open_bench()
        return {
            "cells": table,
            "cells_per_pulse": rows * columns,
            "bench": bench.snapshot(),
            "procedure": self.parameters_plain(),
            "simulated": self._simulated,
            "device": bench.array.device,
        }

    def parameters_plain(self) -> dict[str, Any]:
        """Give the parameters as JSON-able values, with the name of the procedure."""
        return {"procedure": type(self).__name__, **self.parameter_values()}

    def _quarantined(self, cells: Cells) -> list[tuple[int, int, str]]:
        columns = self.open_bench().array.columns
        return [
            (*divmod(int(cell), columns), str(cells.reason[cell])) for cell in np.flatnonzero(~cells.used)
        ]

    def _pulse_seconds(self) -> float:
        """How long a pulse of the whole array takes by the board's clock: protocol, "Sequences"."""
        steps = 1 if self.mode == "toggle" else 2
        return steps * self.open_bench().array.rows * (self.period + self.settle)

    def _role(self) -> BoardRole:
        return self.open_bench().board

    def _at(self, stage: str, waiting: bool = False) -> None:
        tally = self._tally
        self.progress = RecordingProgress(
            stage=stage,
            bits=tally.written,
            wanted=self.bits,
            blocks=tally.blocks,
            ones=tally.ones,
            bits_per_s=tally.rate(),
            waiting=waiting,
        )

    _simulated = False


class _Tally:
    """What has been fetched and written so far."""

    def __init__(self, began: float = 0.0) -> None:
        self.began = self.last = began  # monotonic s: start, and the last block in the store
        self.fetched = 0  # usable bits that the board delivered
        self.written = self.blocks = self.ones = self.positions = 0
        self.changed = self.pairs = self.failed_resets = 0
        self.stalls = self.again = 0
        self.temperature, self.looked = float("nan"), 0.0
        self.asked = self.fed = 0.0
        self.free_then, self.fetched_then = 0, 0
        self._before: tuple[int, float, int] | None = None  # sequence, board time, usable bits
        self._timed_bits, self._timed_seconds = 0, 0.0
        self._computed_bits, self._computed_seconds = 0, 0.0

    def add(self, written: Written, pulse_seconds: float) -> None:
        block = written.block
        self.written += written.bits
        self.blocks += 1
        self.ones += written.ones
        self.positions += block.positions
        self.changed += written.changed
        self.pairs += written.pairs
        self.failed_resets += block.failed_resets
        self.last = time.monotonic()
        self._computed_bits += written.bits
        self._computed_seconds += block.pulses * pulse_seconds
        before, self._before = self._before, (block.sequence, block.time, written.bits)
        if before is not None and block.sequence == before[0] + 1 and not block.stalled:
            self._timed_bits += before[2]
            self._timed_seconds += block.time - before[1]

    def rate(self) -> float:
        """Usable bits per second of the host's clock so far."""
        seconds = self.last - self.began
        return self.written / seconds if seconds > 0 else 0.0

    def device_rate(self) -> float:
        """Usable bits per second of the board's clock, stalls left out.

        From the board times of blocks that follow each other; where there is none, from the protocol's formula.
        """
        if self._timed_seconds > 0:
            return self._timed_bits / self._timed_seconds
        return self._computed_bits / self._computed_seconds if self._computed_seconds else float("nan")


def _usable(block: ArrayBlock) -> int:
    return block.positions if block.valid is None else count_ones(block.valid)

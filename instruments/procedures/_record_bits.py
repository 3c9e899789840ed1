"""The procedure that records random bits: tune each cell, pulse, read, write to the store."""

import contextlib
import logging
import math
import time
from typing import Any, ClassVar, cast

import numpy as np
from pymeasure.experiment import BooleanParameter, FloatParameter, IntegerParameter, ListParameter

from drivers import ArrayBlock, BoardError
from entropy import CELL_DTYPE, Store
from entropy.quality.health import Cutoffs
from entropy.quality.watch import Watch, WatchReport

from .._errors import BenchError
from .._new_file import probe
from ..array._acquisition import Acquisition, Mishaps
from ..bench._bench import Bench
from ..bench._roles import BoardRole, Role
from ..holding._hold import Hold, Start
from ..recording._block_writer import BlockWriter, Delivered, Settings, Written
from ..recording._consumers import Consumers
from ..recording._health import Limits, RecordingHealth, warm_up
from ..recording._reconnection import Reconnection
from ..recording._start_up import start_up_test
from ..recording._summary import RecordingProgress, RecordingSummary, energy_per_bit
from ..recording._tally import Tally, lag1
from ..tuning._apply_tuning import apply_tuning
from ..tuning._calibration import Cells, astray, measure_probability, measure_states, tune
from ..tuning._pulser import Stopped
from ..tuning._tuning import Tuning
from ._pulsed_procedure import PulsedProcedure

log = logging.getLogger(__name__)

_MOST_BITS = 1 << 26  # of one block: protocol, "Commands"
_ALIVE = 0.5  # s between lines to a board that nothing is fetched from, well within its watchdog
_LOOK = 0.05  # s between looks at whether consumers have caught up
# What is claimed of a raw bit where nothing else is: a trimmed cell is used when its P is within this of the target; an
# untrimmed one is used as it is, and only what hardly switches fails.
_OFF_TARGET, _CLAIM_UNTRIMMED = 0.1, 0.1
_LEAST_CLAIM = 0.01
_CALIBRATED = 0.03  # of the probability, to which the start-up tunes where no tuning is given
_ASTRAY = 0.05  # of the cells that read neither of their resistances: more is no noise of the reading


class RecordBits(PulsedProcedure):
    """Records bits of the whole array into a store, one row of DATA_COLUMNS for each block.

    Start-up measures each cell's two resistances and, with `calibrate`, trims its pulse until it switches every
    other time; cells that cannot be used are masked and reported. With a `tuning` its trims, thresholds and quarantine
    are applied instead, and every buffer carries it. Health tests follow (SP 800-90B section 4.4), on samples that are
    not recorded at first, then on every block before it is written: a block that fails is recorded but withheld, a cell
    that fails is left out from the next block on, and too much that fails stops the recording (`most_failing_cells`,
    `most_failing_blocks`: fractions). Then blocks are read while those before are written. Set `bench` and `store`
    before it is run; afterwards `summary` says what it amounted to. While
    it runs `progress` is a fresh RecordingProgress.

    While blocks are recorded a `servo` holds each cell at one half against drift, from the recorded bits alone
    ("common": all cells are moved together; "off"). Its actions are kept with the blocks. Without `calibrate` nothing
    is known of how the cells answer to trims, so nothing is held then.

    A connection that is lost while blocks are recorded is had back up to `retries` times in a row (0 = never)
    without a block in between, and another acquisition goes on; before the first acquisition it ends the
    procedure, since nothing is lost by starting again. Blocks that are missing or damaged are counted and left
    out. A store that is slow makes the board wait, and a store that fails ends the recording.
    """

    servo: Any = ListParameter("Servo", choices=["cells", "common", "off"], default="cells")
    bits: Any = IntegerParameter("Bits wanted", minimum=0, maximum=2**60, default=2**26)
    block_bits: Any = IntegerParameter("Bits per block", minimum=1, maximum=_MOST_BITS, default=2**23)
    calibrate: Any = BooleanParameter("Trim the cells", default=True)
    ahead: Any = IntegerParameter("Most free bits in the store", minimum=0, maximum=2**60, default=0)
    retries: Any = IntegerParameter("Tries to reconnect in a row", minimum=0, maximum=1000, default=3)
    min_entropy: Any = FloatParameter("Claimed min-entropy per bit", minimum=0, maximum=1, default=0)
    false_alarm: Any = FloatParameter("False-alarm exponent", minimum=1, maximum=100, default=40)
    most_failing_cells: Any = FloatParameter("Most failing cells", minimum=0, maximum=1, default=0.05)
    most_failing_blocks: Any = FloatParameter("Most failing blocks", minimum=0, maximum=1, default=0.1)

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
        "Acquisition",
        "Sequence",
        "Lost blocks",
        "Corrupt blocks",
        "Health",
        "Failed cells",
    ]

    def __init__(
        self,
        *,
        bench: Bench | None = None,
        store: Store | None = None,
        tuning: Tuning | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__(bench=bench, **parameters)
        self.store = store
        self.tuning = tuning
        self.progress = RecordingProgress()
        self.summary: RecordingSummary | None = None
        self._cells: Cells | None = None
        self._writer: BlockWriter | None = None
        self._consumers: Consumers | None = None
        self._health: RecordingHealth | None = None
        self._watch: Watch | None = None
        self._watch_report: WatchReport | None = None
        self._reconnection: Reconnection | None = None
        self._delivered_before = 0  # blocks, when the connection was lost last
        self._used_at_start = np.zeros(0, bool)
        self._mishaps, self._tally = Mishaps(), Tally()
        self._hold: Hold | None = None

    # Start-up

    def prepare(self) -> None:
        """Check limits, arm the watchdog, switch on, and measure the cells."""
        role = self._role()
        if self.store is None:
            raise BenchError("RecordBits has no store: set its 'store' before it is run")
        self._at("preparing")
        _refuse_read_only(self.store)
        warm_up()
        self.rehearse()
        self._arm(role)
        board: Any = role.board
        board.output_enabled = True
        with contextlib.suppress(Stopped):  # the Worker asks itself whether to go on
            self._measure_cells(role)

    def rehearse(self) -> None:
        """Set the pulses, and what a tuning knows, with the output off; see `PulsedProcedure.rehearse`."""
        super().rehearse()
        self.min_entropy = self.min_entropy or self._least_claim()
        if self.min_entropy < _LEAST_CLAIM:
            raise BenchError(
                f"a claim of {self.min_entropy:g} bits of min-entropy per bit is below {_LEAST_CLAIM:g}: claim more"
            )
        role, self._cells = self._role(), None
        cast(Any, role.board).mask = True
        if self.tuning is not None:
            self._cells = apply_tuning(role, self.tuning, self._point(), self.read_voltage, self.settle)
            self._refuse_if_none(self._cells)
            self._apply(role, self._cells)

    def _least_claim(self) -> float:
        """Say what every cell that is used must be worth: bits of min-entropy per bit."""
        if self.tuning is None and not self.calibrate:
            return _CLAIM_UNTRIMMED
        target = 0.5 if self.tuning is None else self.tuning.conditions.target
        likeliest = min(max(target, 1 - target) + _OFF_TARGET, 0.99)
        return round(-0.95 * math.log2(likeliest), 2)

    def _set_sequence(self, role: BoardRole) -> None:
        board: Any = role.board
        board.payload = "bits"
        board.mode = self.mode

    def _measure_cells(self, role: BoardRole) -> None:
        point, stop, cells = self._point(), self.should_stop, self._cells
        self._at("thresholds")
        if cells is None:
            self._cells = cells = measure_states(role, point, stop)
            self._refuse_if_none(cells)
            self._apply(role, cells)
        self._at("trims")
        if self.tuning is not None:
            self._look_at_the_cells(role, cells)
        elif self.calibrate:
            tune(role, cells, point, stop, target=0.5, tolerance=_CALIBRATED, accept=_OFF_TARGET)
            self._refuse_if_none(cells)
            self._apply(role, cells)
        measure_probability(role, cells, point, stop)
        self._at("start-up test")
        self._health = RecordingHealth(
            Cutoffs.from_claim(self.min_entropy, self.false_alarm),
            cells.used,
            self.open_bench().array.columns,
            Limits(self.most_failing_cells, self.most_failing_blocks),
        )
        start_up_test(role, cells, self._health, self.should_stop)
        for row, column, reason in self._quarantined(cells)[:20]:
            log.warning("cell %d, %d is left out: %s", row, column, reason)

    def _apply(self, role: BoardRole, cells: Cells) -> None:
        board: Any = role.board
        shape = board.size
        board.thresholds = np.where(cells.used, cells.threshold, 1e9).reshape(shape)
        board.mask = cells.used.reshape(shape)
        role.apply_trims(cells.trims_of(shape), self.voltage, self.width)

    # The recording

    def measure_all(self) -> None:
        """Read blocks from the board while the ones before are written to the store."""
        role, cells = self._role(), self._cells
        assert cells is not None
        assert self.store is not None
        self._hold = self._hold_of(role, cells)
        self._writer = BlockWriter(
            self.store,
            self._recording(role, cells),
            Settings(self.voltage, self.width, self.read_voltage),
            cells.readings,
            self._written,
        )
        self._consumers = Consumers(self.store, self.ahead)
        self._reconnection = Reconnection(self.retries)
        self._mishaps, self._tally = Mishaps(), Tally(began=time.monotonic())
        self._watch = Watch(len(cells.used), self.open_bench().array.columns)
        self._at("recording")
        try:
            self._writer.open(lambda: self._keep_alive(role))
            self._set_sequence(role)
            while self._missing() and not self.should_stop():
                self._acquire_or_reconnect(cells)
        finally:
            self._end(cells)

    def _acquire_or_reconnect(self, cells: Cells) -> None:
        try:
            self._acquire(self._role(), cells)
        except BoardError as error:
            if not error.lost or not self.retries:
                raise
            self._have_it_back(error, cells)

    def _acquire(self, role: BoardRole, cells: Cells) -> None:
        """Run one acquisition of as many pulses as are still wanted, and hand over what it delivers."""
        if self._newly_failed:
            cast(Any, role.board).mask = cells.used.reshape(cast(Any, role.board).size)
            self._newly_failed = False
        pulses = -(-self._missing() // int(cells.used.sum())) if self.bits else 0
        most = max(1, min(self.block_bits, _MOST_BITS) // len(cells.used))
        if self._hold is not None:
            pulses = self._hold.begin(pulses, most)
        acquisition = Acquisition(role.board, pulses, min(most, pulses) if pulses else most, self._mishaps)
        self._tally.acquisitions += 1
        while not acquisition.ended and self._missing() and not self.should_stop():
            if self._consumers_are_behind():
                self._wait_for_consumers(role)
                continue
            self._look_at_the_temperature(role)
            block = acquisition.next()
            if block is not None:
                self._hand_over(role, block, cells)
                if self._hold is not None and self._hold.in_acquisitions:
                    self._hold.act()
        # After the last block too: that it was fetched does not say that the board is idle again. What is raised
        # above switches off at once (`_end`), which ends the acquisition as well.
        self._abort(role)
        if self._hold is not None and acquisition.ended and self._missing():
            self._hold.act()

    def _hand_over(self, role: BoardRole, block: ArrayBlock, cells: Cells) -> None:
        """Test a block and give it to the writer; raises where too much fails, once the block has its place."""
        assert self._writer is not None
        assert self._health is not None
        tally, mishaps = self._tally, self._mishaps
        usable, failed = self._health.judge(block)
        for cell, why in failed.items():
            cells.reason[cell] = why
        self._newly_failed |= bool(failed)
        delivered = Delivered(
            block,
            usable,
            host_time=time.time(),
            temperature=tally.temperature,
            acquisition=tally.acquisitions - 1,
            stalls=mishaps.stalls,
            lost=mishaps.lost - tally.told_lost,
            corrupt=mishaps.corrupt - tally.told_corrupt,
            failed_cells=len(failed),
            actions=None if self._hold is None else self._hold.take(block, usable.outcomes),
        )
        tally.told_lost, tally.told_corrupt = mishaps.lost, mishaps.corrupt
        tally.fetched += usable.count
        tally.delivered += 1
        self._writer.put(delivered, lambda: self._keep_alive(role))
        self._health.stop_if_too_much_fails()

    def _look_at_the_temperature(self, role: BoardRole) -> None:
        now, board = time.monotonic(), cast(Any, role.board)
        if now - self._tally.looked > 1.0:
            self._tally.temperature, self._tally.looked = board.temperature, now

    def _consumers_are_behind(self) -> bool:
        assert self._consumers is not None
        return self._consumers.are_behind(self._tally.fetched, self._tally.written)

    def _wait_for_consumers(self, role: BoardRole) -> None:
        self._at("recording", waiting=True)
        self._keep_alive(role)
        time.sleep(_LOOK)

    def _keep_alive(self, role: BoardRole) -> None:
        """Feed the board's watchdog while nothing is fetched, and see whether its output is still on."""
        now = time.monotonic()
        if now - self._tally.fed < _ALIVE:
            return
        self._tally.fed = now
        board: Any = role.board
        try:
            board.check_errors()
            if not board.output_enabled:
                raise BoardError(
                    f"the output of {board.name} at {board.resource} was switched off by somebody else"
                )
        except BoardError:
            self._switch_off(role)  # what waits meanwhile may wait for long
            raise

    # A lost connection

    def _have_it_back(self, lost: BoardError, cells: Cells) -> None:
        """Connect to the board again and make it ready for another acquisition, output on.

        A board switches off when it sees its owner's connection close; one that does not, because the wire is cut
        or silent, when its watchdog runs out, or when the new connection switches it off before anything else.
        Blocks that lie in its FIFO then are counted as lost, and so is one that the cut has halved; one that was
        taken out of the FIFO but of which nothing arrived leaves no trace. Interlock, temperature and what else
        the board reports are no lost connections: they end the recording.
        """
        assert self._reconnection is not None
        self._at("reconnecting")
        self._switch_off(self._role())
        if self._tally.delivered > self._delivered_before:
            self._reconnection.begin_anew()
        self._delivered_before = self._tally.delivered
        left = 0

        def look(role: Role) -> None:
            nonlocal left
            left = max(left, cast(Any, role).board.fifo[0])

        def attempt() -> None:
            bench = self.open_bench()
            bench.reconnect(bench.board.instrument, look)
            if not self.should_stop():
                self._resume(bench.board, cells)

        try:
            self._reconnection.have_back(lost, attempt, self.should_stop)
        finally:
            self._mishaps.lose(left, f"the lost connection has left {left} blocks in the board")
        self._at("recording")

    def _resume(self, role: BoardRole, cells: Cells) -> None:
        """Bring a board that was reset to the settings of this recording, and switch on.

        The cells are not measured again: that takes seconds to minutes of pulses, and a recording has one table of
        cells, which holds for all its blocks. But whatever broke the connection may have moved a contact too, so
        every cell is read once, without a pulse: one that still is what it was reads near one of its two
        resistances. The trims need no such look: each block's fraction of ones is in its row.
        """
        self._set_point(role)
        self._arm(role)
        self._apply(role, cells)
        if self._hold is not None:
            self._hold.restore(role)
        self._set_sequence(role)
        cast(Any, role.board).output_enabled = True
        self._look_at_the_cells(role, cells)

    def _look_at_the_cells(self, role: BoardRole, cells: Cells) -> None:
        """Read every cell once: what was known of them before must still hold."""
        share = astray(cells, role.board.resistances.ravel())
        if share <= _ASTRAY:
            return
        since = (
            "they were tuned"
            if self._tally.delivered == 0 and self.tuning is not None
            else "the connection was lost"
        )
        raise BenchError(
            f"since {since}, {share:.1%} of the cells of the {role.instrument!r} read neither of their two "
            "resistances any more: check the contacts, and start again with a new tuning, or without one"
        )

    def _missing(self) -> int:
        """Bits that are still wanted, those that are withheld not counted; 1 for ever where there is no end."""
        withheld = self._health.withheld_bits if self._health is not None else 0
        return max(self.bits - self._tally.fetched + withheld, 0) if self.bits else 1

    def _look(self, written: Written | None = None) -> WatchReport | None:
        """Watch a block, where one is given, and report on all."""
        assert self._health is not None
        watch, counted = self._watch, self._health.cells
        if watch is None:
            return None
        if written is not None:
            assert written.block.bits is not None
            valid = written.delivered.usable.valid
            watch.look(written.block.bits, valid, written.block.positions, counted.p1)
        if watch.positions:
            self._watch_report = watch.report(counted.ones, counted.samples)
        return self._watch_report

    def _written(self, written: Written) -> None:
        """Note a block that is in the store; called by the writer's thread."""
        tally, block, delivered = self._tally, written.block, written.delivered
        tally.add(written, self._pulse_seconds())
        if self._watch is not None and self._watch.due():
            self._look(written)
        self._show()
        self.emit(
            "results",
            {
                "Block": tally.blocks - 1,
                "Bits": written.bits,
                "Ones fraction": written.ones / written.bits if written.bits else float("nan"),
                "Lag-1": lag1(written.ones, written.bits, delivered.usable.changed, delivered.usable.pairs),
                "Failed resets": block.failed_resets,
                "Board time (s)": block.time,
                "Host time (s)": delivered.host_time,
                "Rate (bit/s)": tally.rate(),
                "Temperature (K)": delivered.temperature,
                "Stalls": delivered.stalls,
                "Acquisition": delivered.acquisition,
                "Sequence": block.sequence,
                "Lost blocks": delivered.lost,
                "Corrupt blocks": delivered.corrupt,
                "Health": int(delivered.usable.health),
                "Failed cells": delivered.failed_cells,
            },
        )
        if self.bits:
            self.emit("progress", min(100.0, 100 * tally.written / self.bits))

    # The end

    def make_safe(self) -> None:
        """Switch off, and let the writer finish."""
        super().make_safe()
        if self._writer is not None and self._writer.is_alive():
            self._writer.finish()

    def _end(self, cells: Cells) -> None:
        """Switch off at once, then let the writer finish, and sum up."""
        assert self._writer is not None
        assert self._consumers is not None
        self._switch_off(self._role())
        try:
            if self._writer.ident is not None:
                self._writer.finish()
        finally:
            self._consumers.close()
            self.summary = self._sum_up(cells)

    def _abort(self, role: BoardRole) -> None:
        try:
            role.board.abort()
        except BoardError as error:
            log.warning("%s", error)

    def _switch_off(self, role: BoardRole) -> None:
        if role.board.lost:
            # A close is what a board switches off at, where one arrives; the bench asks over another connection.
            with contextlib.suppress(Exception):
                role.board.close()
            return
        try:
            role.safe_state()
        except BoardError as error:  # shutdown, and then the bench, try again and say so
            log.warning("%s", error)

    def _sum_up(self, cells: Cells) -> RecordingSummary:
        assert self._health is not None
        tally, mishaps, used, hold = self._tally, self._mishaps, self._used_at_start, self._hold
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
            cells_used=int(cells.used.sum()),
            quarantined=tuple(self._quarantined(cells)),
            p_sw_mean=float(cells.p_sw[used].mean()),
            p_sw_spread=float(cells.p_sw[used].std()),
            seconds=seconds,
            record_bits_per_s=tally.written / seconds if seconds > 0 else 0.0,
            device_bits_per_s=tally.device_rate(),
            stalls=mishaps.stalls,
            acquisitions=tally.acquisitions,
            reconnections=self._reconnection.made if self._reconnection is not None else 0,
            lost_blocks=mishaps.lost,
            corrupt_blocks=mishaps.corrupt,
            fetched_again=mishaps.again,
            duplicates=mishaps.duplicates,
            health=self._health.summary(),
            watch=self._look(),
            servo=self.servo if hold is not None else "off",
            servo_actions=hold.actions if hold is not None else 0,
            servo_shift=hold.shift if hold is not None else 0.0,
            cells_not_held=int((cells.used & ~hold.held).sum()) if hold is not None else 0,
            energy_per_bit=energy_per_bit(
                toggle=self.mode == "toggle",
                pulse_volts=self.voltage + cells.trim[used],
                width=self.width + np.broadcast_to(cells.trims.width_p, used.shape)[used],
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
        self._used_at_start = cells.used.copy()
        self._simulated = bool(board.origin != "device")
        bench = self.open_bench()
        return {
            "cells": table,
            "cells_per_pulse": rows * columns,
            "bench": bench.snapshot(),
            "procedure": self.parameters_plain(),
            "simulated": self._simulated,
            "device": bench.array.device,
            "expected_bits": self.bits or None,
            **self._tuned(),
            "actions": self._hold is not None,
        }

    def _tuned(self) -> dict[str, Any]:
        if self.tuning is None:
            return {}
        return {"tuning": self.tuning.table(), "conditions": self.tuning.plain_conditions()}

    def _hold_of(self, role: BoardRole, cells: Cells) -> Hold | None:
        """Make the servo, if there is to be one."""
        if self.servo == "off" or cells.response is None:
            return None
        known = cells.trims
        trims = np.stack([
            np.broadcast_to(each, cells.trim.shape)
            for each in (known.voltage_p, known.voltage_ap, known.width_p, known.width_ap)
        ]).reshape(2, 2, -1)  # fmt: skip
        # A tuning is in the file as a whole; without one /cells has one trim, in volts.
        told = trims if self.tuning is not None else np.stack([[cells.trim] * 2, np.zeros_like(trims[1])])
        start = Start(self.voltage, self.width, trims[0], trims[1], told, cells.used, cells.response)
        return Hold(role, start, servo=self.servo, mode=self.mode)

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

    def _at(self, stage: str, waiting: bool = False) -> None:
        self._stage = stage  # by this thread alone: the writer's would bring an old one back
        self._show(waiting)

    def _show(self, waiting: bool = False) -> None:
        tally, health = self._tally, self._health
        self.progress = RecordingProgress(
            stage=self._stage,
            bits=tally.written,
            wanted=self.bits,
            blocks=tally.blocks,
            ones=tally.ones,
            bits_per_s=tally.rate(),
            waiting=waiting,
            blocks_withheld=0 if health is None else health.withheld_blocks,
            cells_failed=0 if health is None else len(health.failed),
            watch=self._watch_report,
            p_held=self._hold.p if self._hold is not None else float("nan"),
            servo_shift=self._hold.shift if self._hold is not None else 0.0,
        )

    _simulated = False
    _stage = "preparing"
    _newly_failed = False  # cells that the board does not leave out yet


def _refuse_read_only(store: Store) -> None:
    try:
        probe(store.path)
    except OSError as error:
        raise BenchError(
            f"the store {store.path} cannot be written ({error.strerror}): record into another one"
        ) from error

"""The account of a recording: what it has come to, from which its rows, its progress and its summary are made."""

import time
from dataclasses import dataclass

import numpy as np

from entropy.quality.watch import Watch, WatchReport

from ..array import Losses, Sums
from ..holding import WorkingPointControl
from ._block_writer import Delivered
from ._energy import energy_per_bit
from ._preparation import Prepared
from ._summary import RecordingProgress, RecordingSummary

COLUMNS = (
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
)


@dataclass(frozen=True)
class Counts(Sums):
    """What is in the store: usable `bits` of so many `positions`; `changed` of `pairs` outcomes of a cell differ from
    its last one; `timed_*`, `computed_*`: bits, and the seconds in which the array's clock, or its formula, says so.
    """

    bits: int = 0
    blocks: int = 0
    ones: int = 0
    positions: int = 0
    changed: int = 0
    pairs: int = 0
    failed_resets: int = 0
    timed_bits: int = 0
    timed_seconds: float = 0.0
    computed_bits: int = 0
    computed_seconds: float = 0.0

    @property
    def ones_fraction(self) -> float:
        """Of the bits; NaN where there are none."""
        return self.ones / self.bits if self.bits else float("nan")

    @property
    def lag1(self) -> float:
        """The lag-1 correlation of cells pooled, from the fractions of ones and of changes; NaN where unknown."""
        if not self.pairs or not 0 < self.ones < self.bits:
            return float("nan")
        mean = 2 * self.ones / self.bits - 1
        return ((1 - 2 * self.changed / self.pairs) - mean**2) / (1 - mean**2)

    @property
    def device_rate(self) -> float:
        """Usable bits per second of the array's clock, stalls left out.

        From the times of blocks that follow each other; where there is none, from the protocol's formula.
        """
        if self.timed_seconds > 0:
            return self.timed_bits / self.timed_seconds
        return self.computed_bits / self.computed_seconds if self.computed_seconds else float("nan")


class RecordingAccount:
    """Counts what comes from a prepared array and what goes into the store; `wanted`: usable bits, 0 = without end.

    `commit` is called by one thread, that of the store, and `judge` by the one of the tests; `fetch`, and what sets the
    number of `acquisitions` and of `reconnections` and the `stage`, by the one that fetches. `counts` is replaced as a
    whole, so that any thread may look at it.
    """

    def __init__(
        self, prepared: Prepared, control: WorkingPointControl | None, wanted: int, servo: str
    ) -> None:
        self.began = self.last = time.monotonic()  # s: start, and the last block in the store
        self.counts = Counts()
        self.delivered = self.acquisitions = self.reconnections = 0  # `delivered`: blocks, by the array
        self.stage, self.waiting = "recording", False
        self.wanted = wanted
        # Each is counted by one thread: positions that were fetched, and judged, and usable bits among the latter.
        self._positions_fetched = self._positions_judged = self._usable = 0
        self._prepared, self._control = prepared, control
        self._servo = servo if control is not None else "off"
        rows, columns = prepared.array.shape
        self._watch = Watch(rows * columns, columns)
        self._watch_report: WatchReport | None = None
        self._losses_before = self._losses_of_rows = prepared.array.losses
        # Acquisition and sequence of the last block, its time, and its usable bits.
        self._block_before: tuple[tuple[int, int], float, int] | None = None

    @property
    def unjudged(self) -> int:
        """Positions that were fetched and are not judged yet."""
        return self._positions_fetched - self._positions_judged

    @property
    def fetched(self) -> int:
        """Usable bits that were fetched, at most: of a block that is not judged yet every position counts."""
        # In this order: what is judged meanwhile counts twice, never not at all.
        unjudged = self.unjudged
        return unjudged + self._usable

    @property
    def missing(self) -> int:
        """Bits that are still wanted, those that are withheld not counted; 1 for ever where there is no end.

        As long as blocks are not judged yet, the least that may be missing.
        """
        withheld = self._prepared.health.withheld_bits
        return max(self.wanted - self.fetched + withheld, 0) if self.wanted else 1

    @property
    def rate(self) -> float:
        """Usable bits per second of the host's clock so far."""
        seconds = self.last - self.began
        return self.counts.bits / seconds if seconds > 0 else 0.0

    @property
    def percent(self) -> float:
        """How much of what is wanted is in the store."""
        return min(100.0, 100 * self.counts.bits / self.wanted) if self.wanted else 0.0

    def fetch(self, positions: int) -> None:
        """Count a block that the array has delivered."""
        self._positions_fetched += positions
        self.delivered += 1

    def judge(self, positions: int, usable: int) -> None:
        """Count a block that was judged, and its usable bits."""
        self._usable += usable
        self._positions_judged += positions

    def commit(self, delivered: Delivered) -> dict[str, float]:
        """Count a block that is in the store, and watch it where that is due; gives its row, by COLUMNS."""
        block, judged = delivered.block, delivered.judged.outcome
        of_block = Counts(
            judged.count, 1, judged.ones, block.positions, judged.changes, judged.pairs, block.failed_resets,
            *self._timed(delivered), judged.count, block.pulses * self._prepared.array.pulse_seconds,
        )  # fmt: skip
        self.counts += of_block
        self.last = time.monotonic()
        if self._watch.due():
            cells = self._prepared.health.cells
            self._watch.look(block.bits, delivered.judged.valid, block.positions, cells.p1)
            self._look()
        since, self._losses_of_rows = block.losses - self._losses_of_rows, block.losses
        values = (
            self.counts.blocks - 1, judged.count, of_block.ones_fraction, of_block.lag1, block.failed_resets,
            block.time, delivered.host_time, self.rate, delivered.temperature,
            (block.losses - self._losses_before).stalls, delivered.acquisition, block.sequence, since.lost,
            since.corrupt, int(judged.flags), len(delivered.judged.failed),
        )  # fmt: skip
        return dict(zip(COLUMNS, values, strict=True))

    def progress(self) -> RecordingProgress:
        """Say how far it is."""
        counts, health, control = self.counts, self._prepared.health, self._control
        return RecordingProgress(
            stage=self.stage,
            bits=counts.bits,
            wanted=self.wanted,
            blocks=counts.blocks,
            ones=counts.ones,
            bits_per_s=self.rate,
            waiting=self.waiting,
            blocks_withheld=health.withheld_blocks,
            cells_failed=len(health.failed),
            watch=self._watch_report,
            p_held=control.p if control is not None else float("nan"),
            servo_shift=control.shift if control is not None else 0.0,
        )

    def summary(self, recording: str) -> RecordingSummary:
        """Sum it up; `recording`: its uuid."""
        prepared, counts, control, losses = self._prepared, self.counts, self._control, self.losses
        array, cells, used = prepared.array, prepared.cells, prepared.used_at_start
        tried = counts.positions * used.mean()
        seconds = self.last - self.began
        return RecordingSummary(
            recording=recording,
            mode=array.point.mode,
            simulated=prepared.simulated,
            bits=counts.bits,
            blocks=counts.blocks,
            ones_fraction=counts.ones_fraction,
            lag1=counts.lag1,
            failed_resets=counts.failed_resets,
            cells=len(used),
            cells_used=int(cells.used.sum()),
            quarantined=tuple(cells.quarantined(array.shape[1])),
            p_sw_mean=float(cells.p_sw[used].mean()),
            p_sw_spread=float(cells.p_sw[used].std()),
            seconds=seconds,
            record_bits_per_s=self.rate,
            device_bits_per_s=counts.device_rate,
            stalls=losses.stalls,
            acquisitions=self.acquisitions,
            reconnections=self.reconnections,
            lost_blocks=losses.lost,
            corrupt_blocks=losses.corrupt,
            fetched_again=losses.again,
            duplicates=losses.duplicates,
            health=prepared.health.summary(),
            watch=self._look(),
            servo=self._servo,
            servo_actions=control.actions if control is not None else 0,
            servo_shift=control.shift if control is not None else 0.0,
            cells_not_held=int((cells.used & ~control.held).sum()) if control is not None else 0,
            energy_per_bit=energy_per_bit(
                array.point,
                pulse_volts=array.point.voltage + cells.trim[used],
                width=array.point.width + np.broadcast_to(cells.trims.width_p, used.shape)[used],
                r_p=cells.r_p[used],
                r_ap=cells.r_ap[used],
                ones_fraction=counts.ones_fraction,
                usable_fraction=counts.bits / tried if tried else 0.0,
            ),
        )

    @property
    def losses(self) -> Losses:
        """What was lost since the recording began."""
        return self._prepared.array.losses - self._losses_before

    def _timed(self, delivered: Delivered) -> tuple[int, float]:
        """Give bits and seconds from the block before to this one, by the array's clock, where it follows."""
        block, before = delivered.block, self._block_before
        place = delivered.acquisition, block.sequence
        self._block_before = place, block.time, delivered.judged.outcome.count
        if before is None or place != (before[0][0], before[0][1] + 1) or block.stalled:
            return 0, 0.0
        return before[2], block.time - before[1]

    def _look(self) -> WatchReport | None:
        cells = self._prepared.health.cells
        if self._watch.positions:
            self._watch_report = self._watch.report(cells.ones, cells.samples)
        return self._watch_report

"""The procedure that records random bits: tune each cell, pulse, read, write to the store."""

import contextlib
from typing import Any, ClassVar

from entropy import Store

from .. import recording
from .._errors import BenchError
from .._new_file import probe
from ..array import Array, Stopped
from ..bench import Bench
from ..recording import Prepared, RecordingAccount, RecordingProgress, RecordingSummary, ServoChoice, Settings
from ..tuning import Cells, Tuning, warm_up
from ._parameters import Choice, Real, Switch, Whole
from ._pulsed_procedure import PulsedProcedure

_MOST_BITS = 1 << 26  # of one block: protocol, "Commands"
_LEAST_CLAIM = 0.01


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

    servo = Choice[ServoChoice]("Servo", choices=["cells", "common", "off"], default="cells")
    bits = Whole("Bits wanted", minimum=0, maximum=2**60, default=2**26)
    block_bits = Whole("Bits per block", minimum=1, maximum=_MOST_BITS, default=2**23)
    calibrate = Switch("Trim the cells", default=True)
    ahead = Whole("Most free bits in the store", minimum=0, maximum=2**60, default=0)
    retries = Whole("Tries to reconnect in a row", minimum=0, maximum=1000, default=3)
    min_entropy = Real("Claimed min-entropy per bit", minimum=0, maximum=1, default=0)
    false_alarm = Real("False-alarm exponent", minimum=1, maximum=100, default=40)
    most_failing_cells = Real("Most failing cells", minimum=0, maximum=1, default=0.05)
    most_failing_blocks = Real("Most failing blocks", minimum=0, maximum=1, default=0.1)

    DATA_COLUMNS: ClassVar[list[str]] = list(recording.COLUMNS)

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
        self.summary: RecordingSummary | None = None
        self.account: RecordingAccount | None = None
        self._stage = "preparing"
        self._prepared: Prepared | None = None

    @property
    def progress(self) -> RecordingProgress:
        """How far it is now."""
        if self.account is None:
            return RecordingProgress(stage=self._stage, wanted=self.bits)
        return self.account.progress()

    def rehearse(self) -> None:
        """Set the pulses, and what a tuning knows, with the output off; see `PulsedProcedure.rehearse`."""
        self._rehearse()

    def prepare(self) -> None:
        """Check limits, arm the watchdog, switch on, and measure the cells."""
        self.open_bench()
        _refuse_read_only(self._open_store())
        recording.warm_up()
        if self.tuning is None:
            warm_up()
        array, known = self._rehearse()
        self._switch_on(array)
        with contextlib.suppress(Stopped):  # the Worker asks itself whether to go on
            self._prepared = recording.prepare(array, self._as(Settings), known, self.should_stop, self._at)

    def measure_all(self) -> None:
        """Read blocks from the array while the ones before are written to the store."""
        if self._prepared is None:
            return
        running = recording.begin(
            self._prepared, self._as(Settings), self._open_store(), self.open_bench(), self.parameters_plain(),
            self.should_stop, self._on_commit,
        )  # fmt: skip
        self.account = running.account
        try:
            running.record()
        finally:
            self.summary = self.account.summary(running.writer.uuid)

    def parameters_plain(self) -> dict[str, Any]:
        """Give the parameters as JSON-able values, with the name of the procedure."""
        return {"procedure": type(self).__name__, **self.parameter_values()}

    def _rehearse(self) -> tuple[Array, Cells | None]:
        array = self._set_up()
        self.min_entropy = self.min_entropy or recording.least_claim(self.tuning, self.calibrate)
        if self.min_entropy < _LEAST_CLAIM:
            raise BenchError(
                f"a claim of {self.min_entropy:g} bits of min-entropy per bit is below {_LEAST_CLAIM:g}: claim more"
            )
        return array, recording.rehearse(array, self.tuning)

    def _at(self, stage: str) -> None:
        self._stage = stage

    def _on_commit(self, account: RecordingAccount, row: dict[str, float]) -> None:
        self.emit("results", row)
        if self.bits:
            self.emit("progress", account.percent)

    def _open_store(self) -> Store:
        if self.store is None:
            raise BenchError("RecordBits has no store: set its 'store' before it is run")
        return self.store


def _refuse_read_only(store: Store) -> None:
    try:
        probe(store.path)
    except OSError as error:
        raise BenchError(
            f"the store {store.path} cannot be written ({error.strerror}): record into another one"
        ) from error

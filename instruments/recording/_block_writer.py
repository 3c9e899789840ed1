"""The thread that writes blocks to the store while the next ones are fetched and judged."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from entropy import BlockFacts, Recording, RecordingPlan, Store

from ..array import Block, WorkingPoint
from ._health import JudgedBlock
from ._stage import Stage

_MOST = 4  # blocks in its hands


@dataclass(frozen=True, eq=False)
class Delivered:
    """A block on its way to the store.

    `judged`: with what its health tests say; `host_time`: s since 1970; `temperature`: kelvin; `acquisition`: its
    number in the recording, from 0; `actions`: what the servo changed, of which this block is the first made with it.
    """

    judged: JudgedBlock
    host_time: float
    temperature: float
    acquisition: int
    actions: np.ndarray | None = None

    @property
    def block(self) -> Block:
        """The block itself."""
        return self.judged.block


class BlockWriter(Stage[Delivered]):
    """Commits blocks.

    `plan`: of the recording; `point`, `field` (T): what every row says; `readings`: a sample of raw readings, ohm;
    `on_commit` is called in this thread for each committed block.
    """

    def __init__(
        self,
        store: Store,
        plan: RecordingPlan,
        point: WorkingPoint,
        field: float,
        readings: np.ndarray,
        on_commit: Callable[[Delivered], None],
    ) -> None:
        super().__init__("block writer", _MOST)
        self.uuid = ""
        self._store = store
        self._plan = plan
        self._point = point
        self._field = field
        self._readings = readings
        self._on_commit = on_commit

    def open(self, while_waiting: Callable[[], None]) -> None:
        """Start the thread and wait until the recording exists; raises what kept it from that.

        Meanwhile `while_waiting` is called about five times a second.
        """
        self.start()
        while not self._wait(lambda: bool(self.uuid)):
            while_waiting()

    def work(self) -> None:
        """Make the recording, and write what comes."""
        with self._store.record(self._plan) as recording:
            if len(self._readings):
                recording.append_resistances(self._readings)
            with self._change:
                self.uuid = recording.uuid
                self._change.notify_all()
            for delivered in self._given():
                self._commit(recording, delivered)
                self._on_commit(delivered)

    def _commit(self, recording: Recording, delivered: Delivered) -> None:
        block, outcome = delivered.block, delivered.judged.outcome
        facts = BlockFacts(
            positions=block.positions,
            sequence=block.sequence,
            host_time=delivered.host_time,
            board_time=block.time,
            pulses=block.pulses,
            voltage=self._point.voltage,
            width=self._point.width,
            read_voltage=self._point.read_voltage,
            field=self._field,
            temperature=delivered.temperature,
            failed_resets=block.failed_resets,
            health=int(outcome.flags),
            stalled=block.stalled,
        )
        recording.append(
            outcome.bits, outcome.count, facts, valid=delivered.judged.valid, ones=outcome.ones,
            actions=delivered.actions,
        )  # fmt: skip

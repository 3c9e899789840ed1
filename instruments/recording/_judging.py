"""The thread that judges blocks while the next ones are being fetched and those before are written."""

from collections.abc import Callable
from dataclasses import dataclass

from ..array import Block
from ..holding import WorkingPointControl
from ._account import RecordingAccount
from ._block_writer import BlockWriter, Delivered
from ._preparation import Prepared
from ._stage import Stage

_MOST = 1  # block in its hands; the next one is being fetched meanwhile


@dataclass(frozen=True, eq=False)
class Fetched:
    """A block as it comes from the array, and what was known then; see `Delivered`."""

    block: Block
    host_time: float
    temperature: float
    acquisition: int


class Judging(Stage[Fetched]):
    """Has the health tests judge each block and the servo learn from it, and gives it to the `writer`.

    It ends, and says so by BenchError, where too much fails, once the block that was too much has its place in the
    store; what was fetched after that block is dropped.
    """

    def __init__(
        self,
        prepared: Prepared,
        control: WorkingPointControl | None,
        account: RecordingAccount,
        writer: BlockWriter,
    ) -> None:
        super().__init__("block judge", _MOST)
        self._prepared, self._control = prepared, control
        self._account, self._writer = account, writer

    def drain(self, while_waiting: Callable[[], None]) -> None:
        """Wait until all that was put is judged; `while_waiting` is called about five times a second."""
        while not self._wait(lambda: not self._account.unjudged):
            while_waiting()

    def work(self) -> None:
        """Judge what comes and hand it on."""
        for fetched in self._given():
            self._judge(fetched)

    def _judge(self, fetched: Fetched) -> None:
        block, health = fetched.block, self._prepared.health
        judged = health.judge(block)
        for cell, why in judged.failed.items():
            self._prepared.cells.reason[cell] = why
        actions = None if self._control is None else self._control.take(block, judged.outcome.outcomes)
        try:
            health.stop_if_too_much_fails()
            with self._change:
                self._account.judge(block.positions, judged.outcome.count)
                self._change.notify_all()
        finally:
            delivered = Delivered(
                judged, fetched.host_time, fetched.temperature, fetched.acquisition, actions
            )
            self._writer.put(delivered, _nothing)


def _nothing() -> None:
    """Nobody is to be kept alive by the one that waits for the writer: the one that fetches does that."""

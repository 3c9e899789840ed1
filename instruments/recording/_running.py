"""A recording that runs: blocks are fetched while those before are judged, and written to the store."""

import contextlib
import logging
import time
from dataclasses import dataclass

from ..array import Acquisition, Block, BoardError, Stop
from ..holding import WorkingPointControl
from ._account import RecordingAccount
from ._block_writer import BlockWriter
from ._consumers import Consumers
from ._judging import Fetched, Judging
from ._preparation import Prepared, refuse_changed_cells
from ._reconnection import Reconnection

log = logging.getLogger(__name__)

_LOOK = 0.05  # s between looks at whether consumers have caught up


@dataclass(frozen=True, eq=False)
class Running:
    """What a recording that runs consists of; `block_bits`: of a block, at most.

    The thread of `record` is the only one that talks to the array.
    """

    prepared: Prepared
    control: WorkingPointControl | None
    account: RecordingAccount
    judging: Judging
    writer: BlockWriter
    consumers: Consumers
    reconnection: Reconnection
    block_bits: int
    watchdog: float
    stop: Stop

    def record(self) -> None:
        """Read blocks until there are as many bits as are wanted, or the user stops; raises what ends it early.

        However it ends, the output goes off at once, and what was fetched is written then.
        """
        array = self.prepared.array
        with contextlib.ExitStack() as ending:
            ending.callback(self.consumers.close)
            ending.callback(self.writer.finish)
            ending.callback(self.judging.finish)
            ending.callback(array.switch_off)
            self.writer.open(array.keep_alive)
            self.judging.start()
            while self._goes_on():
                try:
                    self._acquire()
                except BoardError as error:
                    if not error.lost or not self.reconnection.most:
                        raise
                    self._reconnect(error)

    def _goes_on(self) -> bool:
        """Say whether bits are still wanted; raises what failed in another thread."""
        self.judging.check()
        self.writer.check()
        return not self.stop() and self._some_are_missing()

    def _some_are_missing(self) -> bool:
        if not self.account.missing:
            self.judging.drain(self.prepared.array.keep_alive)
        return bool(self.account.missing)

    def _acquire(self) -> None:
        """Run one acquisition of as many pulses as are still wanted, and hand over what it delivers."""
        array, used, control = self.prepared.array, self.prepared.cells.used, self.control
        array.set_mask(used)
        pulses = -(-self.account.missing // int(used.sum())) if self.account.wanted else 0
        most = max(1, min(self.block_bits // len(used), array.most_pulses))
        if control is not None:
            pulses = control.begin(pulses, most)
        acquisition = array.acquire(pulses, min(most, pulses) if pulses else most)
        self.account.acquisitions += 1
        while not acquisition.ended and self._goes_on():
            if self._consumers_are_behind():
                array.keep_alive()
                time.sleep(_LOOK)
                continue
            temperature = array.temperature()
            block = next(acquisition)
            if block is not None:
                self._hand_over(block, temperature)
                if control is not None and control.in_acquisitions:
                    control.act()
        # After the last block too: that it was fetched does not say that the array is idle again. What is raised
        # above switches off at once (`record`), which ends the acquisition as well.
        _abort(acquisition)
        if acquisition.ended and not self.stop():
            self.judging.drain(array.keep_alive)
            if control is not None and self.account.missing:
                control.act()

    def _consumers_are_behind(self) -> bool:
        account = self.account
        account.waiting = self.consumers.are_behind(account.fetched, account.counts.bits)
        return account.waiting

    def _hand_over(self, block: Block, temperature: float) -> None:
        """Give a block to those who judge and write it."""
        account = self.account
        fetched = Fetched(block, time.time(), temperature, account.acquisitions - 1)
        account.fetch(block.positions)
        self.reconnection.begin_anew()
        self.judging.put(fetched, self.prepared.array.keep_alive)

    # A lost connection

    def _reconnect(self, lost: BoardError) -> None:
        """Connect to the array again and make it ready for another acquisition, output on.

        A board switches off when it sees its owner's connection close; one that does not, because the wire is cut
        or silent, when its watchdog runs out, or when the new connection switches it off before anything else.
        Blocks that lie in its FIFO then are counted as lost, and so is one that the cut has halved; one that was
        taken out of the FIFO but of which nothing arrived leaves no trace. Interlock, temperature and what else
        the board reports are no lost connections: they end the recording.
        """
        account, array = self.account, self.prepared.array
        account.stage = "reconnecting"
        array.switch_off()
        self.judging.drain(lambda: None)

        def attempt() -> None:
            array.reconnect()
            if not self.stop():
                self._resume()

        if self.reconnection.get_back(lost, attempt, self.stop):
            account.reconnections += 1
        account.stage = "recording"

    def _resume(self) -> None:
        """Bring an array that was reset to the settings of this recording, and switch on.

        The cells are not measured again: that takes seconds to minutes of pulses, and a recording has one table of
        cells, which holds for all its blocks. But whatever broke the connection may have moved a contact too, so
        every cell is read once, without a pulse: one that still is what it was reads near one of its two
        resistances. The trims need no such look: each block's fraction of ones is in its row.
        """
        array, cells = self.prepared.array, self.prepared.cells
        array.set_working_point(array.point)
        cells.apply_to(array)
        if self.control is not None:
            self.control.restore()
        array.switch_on(self.watchdog)
        refuse_changed_cells(array, cells, "the connection was lost")


def _abort(acquisition: Acquisition[Block]) -> None:
    try:
        acquisition.abort()
    except BoardError as error:
        log.warning("%s", error)

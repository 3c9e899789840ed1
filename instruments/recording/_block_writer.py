"""The thread that writes blocks to the store while the next ones are being read."""

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from drivers import ArrayBlock
from entropy import Recording, Store

from ._health import Usable

_AHEAD = 4  # blocks in memory between board and store
_PATIENCE = 0.2  # s between looks at whether the other side still lives


@dataclass(frozen=True)
class Settings:
    """What every block row says, at the device: volts, seconds, volts, tesla."""

    voltage: float
    width: float
    read_voltage: float
    field: float = 0.0


@dataclass(frozen=True)
class Delivered:
    """A block on its way to the store.

    `usable`: its usable bits, and what its health tests say; `host_time`: s since 1970; `temperature`: kelvin;
    `acquisition`: its number in the recording, from 0; `stalls`: of the recording so far; `lost`, `corrupt`: blocks
    that were lost or left out since the one before; `failed_cells`: cells that failed their tests in it for the first
    time; `actions`: what the servo changed, of which this block is the first made with it.
    """

    block: ArrayBlock
    usable: Usable
    host_time: float
    temperature: float
    acquisition: int
    stalls: int
    lost: int
    corrupt: int
    failed_cells: int = 0
    actions: np.ndarray | None = None


@dataclass(frozen=True)
class Written:
    """One block as it went into the store."""

    delivered: Delivered
    bits: int
    ones: int

    @property
    def block(self) -> ArrayBlock:
        """The block itself."""
        return self.delivered.block


class BlockWriter(threading.Thread):
    """Commits blocks in the order in which they were put; what fails here is raised at the next `put`.

    `recording`: arguments of `Store.record`; `readings`: a sample of raw readings, ohm; `on_written`
    is called in this thread for each committed block.
    """

    def __init__(
        self,
        store: Store,
        recording: dict[str, Any],
        settings: Settings,
        readings: np.ndarray,
        on_written: Callable[[Written], None],
    ) -> None:
        super().__init__(name="block writer", daemon=True)
        self.uuid = ""
        self._store = store
        self._arguments = recording
        self._settings = settings
        self._readings = readings
        self._on_written = on_written
        self._queue: queue.Queue[Delivered | None] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._opened = threading.Event()

    def open(self, while_waiting: Callable[[], None]) -> None:
        """Start the thread and wait until the recording exists; raises what kept it from that.

        Meanwhile `while_waiting` is called about five times a second.
        """
        self.start()
        while not self._opened.wait(_PATIENCE):
            while_waiting()
        self._raise()

    def put(self, delivered: Delivered, while_waiting: Callable[[], None]) -> None:
        """Hand a block over; while there is no room, `while_waiting` is called about five times a second.

        What that raises is raised once the block has its place: it is good, whatever became of the board.
        """
        trouble: Exception | None = None
        while True:
            self._raise()
            try:
                self._queue.put(delivered, timeout=_PATIENCE)
                break
            except queue.Full:
                pass
            try:
                if trouble is None:
                    while_waiting()
            except Exception as error:
                trouble = error
        if trouble is not None:
            raise trouble

    def finish(self) -> None:
        """Wait until everything that was put is in the store, and close the recording; raises what failed."""
        while self.is_alive():
            try:
                self._queue.put(None, timeout=_PATIENCE)
                break
            except queue.Full:
                continue
        self.join()
        self._raise()

    def run(self) -> None:
        """Write until None comes."""
        try:
            with self._store.record(**self._arguments, resistances=len(self._readings)) as recording:
                self.uuid = recording.uuid
                if len(self._readings):
                    recording.append_resistances(self._readings)
                self._opened.set()
                while (item := self._queue.get()) is not None:
                    self._on_written(self._commit(recording, item))
        except BaseException as error:
            self._error = error
        finally:
            self._opened.set()

    def _commit(self, recording: Recording, delivered: Delivered) -> Written:
        block, usable = delivered.block, delivered.usable
        assert block.bits is not None
        commit = recording.append(
            usable.bits,
            usable.count,
            valid=usable.valid,
            positions=block.positions,
            sequence=block.sequence,
            host_time=delivered.host_time,
            board_time=block.time,
            pulses=block.pulses,
            voltage=self._settings.voltage,
            width=self._settings.width,
            read_voltage=self._settings.read_voltage,
            field=self._settings.field,
            temperature=delivered.temperature,
            failed_resets=block.failed_resets,
            health=int(usable.health),
            stalled=block.stalled,
            actions=delivered.actions,
        )
        return Written(delivered, usable.count, commit.ones)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

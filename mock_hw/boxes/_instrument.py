"""An instrument of a bench: a device that knows no SCPI, any number of connections, one status and error queue."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from mock_hw._scpi import InputClosed, Status, Table
from mock_hw.boxes._session import BoxSession


class BenchDevice(Protocol):
    """What an instrument needs of its device."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while a command acts."""
        ...

    def power_on(self) -> None:
        """Be as after power-on, the output off."""
        ...


class Instrument:
    """Serves a `device` by the commands of `table`; its connections share one status and error queue.

    `errors`: how many the queue holds; `plus`: whether their numbers carry a sign; `summary`: bits of the status byte
    that are the box's own; `wake`: device and table from the next power-on on, of a box that has several languages.
    """

    def __init__(
        self,
        device: BenchDevice,
        table: Table,
        *,
        errors: int,
        plus: bool = False,
        summary: Callable[[], int] = lambda: 0,
        wake: Callable[[], tuple[BenchDevice, Table]] | None = None,
    ) -> None:
        self.device = device
        self.table = table
        self._wake = wake
        self._new_status = lambda: Status(errors, plus=plus, summary=summary)
        self.status = self._new_status()
        self._sessions: list[InstrumentSession] = []

    def open_session(self, hang_up: Callable[[], None] | None = None) -> "InstrumentSession":
        """A new connection; see `mock_hw._wires.Box`."""
        session = InstrumentSession(self, hang_up)
        with self.device.lock:
            self._sessions.append(session)
        return session

    def forget(self, session: "InstrumentSession") -> None:
        """A connection has closed; outputs stay as they are, as those of bench boxes do."""
        with self.device.lock:
            if session in self._sessions:
                self._sessions.remove(session)

    def power_cycle(self) -> None:
        """Take the power and give it back: connections drop, settings are those of power-on."""
        with self.device.lock:
            if self._wake is not None:
                self.device, self.table = self._wake()
            self.device.power_on()
            self.status = self._new_status()
            sessions, self._sessions = self._sessions, []
            for session in sessions:
                session.drop()
        for session in sessions:
            if session.hang_up is not None:
                session.hang_up()

    def close(self) -> None:
        """Switch off for good."""
        with self.device.lock:
            self.device.power_on()


class InstrumentSession(BoxSession):
    """One connection to an instrument."""

    def __init__(self, box: Instrument, hang_up: Callable[[], None] | None) -> None:
        super().__init__(box.table, box.status, box.device.lock, hang_up)
        self.box = box
        self.device = box.device
        self._dropped = False

    def drop(self) -> None:
        """The box was without power: its status is new, and the connection, where the wire has one, is gone."""
        self.status, self.device, self._table = self.box.status, self.box.device, self.box.table
        self._dropped = self.hang_up is not None

    def close(self) -> None:
        """The connection is gone."""
        self.box.forget(self)

    def _check_power(self) -> None:
        if self._dropped:
            raise InputClosed("the box lost its power")

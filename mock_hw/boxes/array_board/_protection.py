"""What switches the output of a simulated board off by itself: its watchdog, the interlock, heat at the array."""

import threading
import time
from typing import Protocol

from mock_hw._arguments import Real, takes
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.boxes.array_board._settings import Settings

HOTTEST = 358.15


class _Board(Protocol):
    changed: threading.Condition
    settings: Settings

    @property
    def owner(self) -> object | None: ...
    @property
    def output(self) -> bool: ...
    def switch_off(self) -> None: ...
    def report(self, trouble: RuleBroken) -> None: ...


class Protection:
    """The board's watchdog with its thread, from `start` to `close`, its interlock and its thermometer, in kelvin.

    `trips` counts what the watchdog has switched off since power-on.
    """

    def __init__(self, board: _Board, temperature: float) -> None:
        self._board = board
        self.temperature = temperature
        self.interlock_closed = True
        self.trips = 0
        self._fed = time.monotonic()
        self._closed = False
        self._look = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="array-board-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()

    def close(self) -> None:
        """End the thread; the output is off."""
        self._closed = True
        self.look()
        self._watcher.join()

    def set_interlock(self, closed: bool) -> None:
        """Open or close the interlock; opening it switches the output off."""
        with self._board.changed:
            self.interlock_closed = closed
            if not closed and self._board.output:
                self._trip(Rule.INTERLOCK)

    @takes(kelvin=Real(above=0))
    def set_temperature(self, kelvin: float) -> None:
        """Set the temperature at the array; above 358.15 K the output switches off."""
        with self._board.changed:
            self.temperature = kelvin
            if kelvin > HOTTEST and self._board.output:
                self._trip(Rule.TEMPERATURE)

    # For holders of the board's lock.

    def check(self) -> None:
        """Raise `RuleBroken` where the output may not be switched on."""
        if not self.interlock_closed:
            raise RuleBroken(Rule.INTERLOCK, "refused")
        if self.temperature > HOTTEST:
            raise RuleBroken(Rule.TEMPERATURE, "refused")
        if self._board.settings.watchdog == 0:
            raise RuleBroken(Rule.CONFLICT, "the watchdog is not armed")

    def feed(self, connection: object) -> None:
        """A complete line has come over this connection, or the output is now its own."""
        if connection is self._board.owner:
            self._fed = time.monotonic()

    def look(self) -> None:
        """What the watchdog goes by has changed."""
        self._look.set()

    def _trip(self, rule: Rule) -> None:
        self._board.switch_off()
        self._board.report(RuleBroken(rule, "output switched off"))

    def _watch(self) -> None:
        while not self._closed:
            with self._board.changed:
                left = None
                if self._board.output:
                    left = self._fed + self._board.settings.watchdog - time.monotonic()
                    if left <= 0:
                        self.trips += 1
                        self._trip(Rule.WATCHDOG)
                        left = None
            self._look.wait(left)
            self._look.clear()

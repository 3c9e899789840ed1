"""A stage of a recording: a thread that takes items in the order in which they were put."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

_PATIENCE = 0.2  # s between calls of what keeps the array alive
_Item = TypeVar("_Item")


class Stage(threading.Thread, Generic[_Item]):
    """Does its `work` in a thread of its own; what fails there is raised by the other methods.

    `most`: items that it has in its hands, the one that it works on among them.
    """

    def __init__(self, name: str, most: int) -> None:
        super().__init__(name=name, daemon=True)
        self._most = most
        self._items: deque[_Item] = deque()
        self._over = False  # nothing more comes
        self._error: BaseException | None = None
        self._change = threading.Condition()  # of anything above

    def check(self) -> None:
        """Raise what has failed here."""
        if self._error is not None:
            raise self._error

    def put(self, item: _Item, while_waiting: Callable[[], None]) -> None:
        """Hand an item over; while there is no room, `while_waiting` is called about five times a second.

        What that raises is raised once the item has its place: it is good, whatever became of the array.
        """
        trouble: Exception | None = None
        while not self._wait(lambda: len(self._items) < self._most):
            try:
                if trouble is None:
                    while_waiting()
            except Exception as error:
                trouble = error
        with self._change:
            self._items.append(item)
            self._change.notify_all()
        if trouble is not None:
            raise trouble

    def finish(self) -> None:
        """Wait until everything that was put is done, and end the thread; raises what failed."""
        with self._change:
            self._over = True
            self._change.notify_all()
        if self.ident is not None:
            self.join()
        self.check()

    def run(self) -> None:
        """Work, and keep what fails."""
        try:
            self.work()
        except BaseException as error:
            with self._change:
                self._error = error
                self._change.notify_all()

    def work(self) -> None:
        """Do what is to be done with all items."""
        raise NotImplementedError

    def _given(self) -> Iterator[_Item]:
        """Give what was put, to the thread that works; what was given before is done then."""
        while True:
            with self._change:
                self._change.wait_for(lambda: self._items or self._over)
                if not self._items:
                    return
                item = self._items[0]
            yield item
            with self._change:
                self._items.popleft()
                self._change.notify_all()

    def _wait(self, until: Callable[[], bool]) -> bool:
        """Wait a moment for a condition, say whether it has come about, and raise what failed."""
        with self._change:
            came = self._change.wait_for(lambda: self._error is not None or until(), _PATIENCE)
        self.check()
        return came

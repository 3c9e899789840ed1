"""Whether those who use the bits have fallen behind."""

import time
from concurrent.futures import Future, ThreadPoolExecutor, wait

from entropy import Store

_LOOK = 0.05  # s between looks


class Consumers:
    """Says whether `most` free bits are in the store or on their way there (0 = nobody counts).

    Who waits for more than that gets more: then so many bits are the goal.
    The store is asked in a thread of its own: the answer may have to wait for a slow disk, or for another process
    that holds the ledger, and meanwhile the board's watchdog wants to be fed.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._pool = ThreadPoolExecutor(1, "free bits")
        self._goal = most
        self._answer: Future[tuple[int, int]] | None = None
        self._asked = 0.0
        self._free = self._then = 0  # bits that were free, when so many had been written
        self._written = 0  # when the question was put

    def are_behind(self, fetched: int, written: int) -> bool:
        """Say so, from the usable bits that were fetched and written so far; waits 50 ms at most."""
        if not self._enough(fetched):
            return False
        now = time.monotonic()
        if self._answer is None and now - self._asked >= _LOOK:
            # First what was written: a block that comes in between is counted twice for a moment, never missed.
            self._written, self._asked = written, now
            self._answer = self._pool.submit(self._store.backlog)
        if self._answer is not None and wait([self._answer], _LOOK).done:
            (self._free, waited_for), self._then = self._answer.result(), self._written
            self._goal = max(self._most, waited_for)
            self._answer = None
        return self._enough(fetched)

    def close(self) -> None:
        """Wait for the last answer, which nobody needs any more."""
        self._pool.shutdown(cancel_futures=True)

    def _enough(self, fetched: int) -> bool:
        """What is free now is at most what was free when it was last asked for, and what came since."""
        return self._most > 0 and self._free + fetched - self._then >= self._goal

"""How a lost connection is got back: some tries, with growing pauses."""

import logging
import time
from collections.abc import Callable

from ..array import BoardError

log = logging.getLogger(__name__)

_FIRST, _GROWTH, _LONGEST = 0.5, 4.0, 30.0  # s: pauses of 0.5, 2, 8, 30, 30 … s
_LOOK = 0.05  # s between looks at whether it is still wanted


class Reconnection:
    """Tries to get a lost connection back, at most `most` times in a row.

    A try takes up to 3 s to be connected, and 4 s more where the board is silent then. So the patience for 3
    tries is 11 to 32 s, and each further one adds half a minute.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._tried = 0

    def begin_anew(self) -> None:
        """Forget earlier tries: something came over the connection that they brought."""
        self._tried = 0

    def get_back(self, lost: BoardError, attempt: Callable[[], None], stop: Callable[[], bool]) -> bool:
        """Call `attempt` until it raises nothing; returns False where `stop` says that nobody wants it any more.

        Only a lost connection is tried again: what else `attempt` raises is raised, and at the end of all
        tries a BoardError that says what the last one met.
        """
        first = lost
        while self._tried < self.most:
            pause = min(_FIRST * _GROWTH**self._tried, _LONGEST)
            self._tried += 1
            log.warning("%s; try %d of %d in %g s", lost, self._tried, self.most, pause)
            if not _rest(pause, stop):
                return False
            try:
                attempt()
            except Exception as error:
                again = lost_connection(error)
                if again is None:
                    raise
                lost = again
            else:
                log.warning("connected again; another acquisition begins")
                return True
        tried = f"{self.most} tries" if self.most > 1 else "1 try"
        raise BoardError(
            f"{first}; {tried} to connect again and go on failed, the last because {lost}", lost=True
        ) from lost


def lost_connection(error: BaseException | None) -> BoardError | None:
    """Return the lost connection that an error is about, or that caused it; None where it is about another thing."""
    while error is not None:
        if isinstance(error, BoardError) and error.lost:
            return error
        error = error.__cause__
    return None


def _rest(seconds: float, stop: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if stop():
            return False
        time.sleep(_LOOK)
    return not stop()

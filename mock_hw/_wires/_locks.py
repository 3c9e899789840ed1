"""Locks of clients on one device (HiSLIP, VXI-11): an exclusive one, and shared ones of those who know the same key."""

import enum
import math
import threading
import time
from collections.abc import Callable


class LockAnswer(enum.IntEnum):
    """Control codes of AsyncLockResponse."""

    FAILURE = 0
    EXCLUSIVE = 1
    SHARED = 2
    ERROR = 3


_LOOK = 0.1  # s after which a client that waits is looked at: is it still there?


class Locks:
    """Who holds which lock; a client is any object."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._exclusive: object | None = None
        self._shared: set[object] = set()
        self._key = b""

    def request(self, client: object, key: bytes, seconds: float, gone: Callable[[], bool]) -> LockAnswer:
        """Take the exclusive lock (no `key`) or the shared one, waiting for at most `seconds` or until `gone`."""
        ends = time.monotonic() + seconds
        with self._changed:
            if self._exclusive is client or (key and client in self._shared):
                return LockAnswer.ERROR
            while not (self._may_share(client, key) if key else self._may_exclude(client)):
                left = ends - time.monotonic()
                if left <= 0 or gone():
                    return LockAnswer.FAILURE
                self._changed.wait(min(left, _LOOK))
            if gone():  # its locks were given back already, and nobody would give this one
                return LockAnswer.FAILURE
            if not key:
                self._exclusive = client
                return LockAnswer.EXCLUSIVE
            self._shared.add(client)
            self._key = key
            return LockAnswer.SHARED

    def release(self, client: object) -> LockAnswer:
        """Give back the exclusive lock, or else the shared one."""
        with self._changed:
            if self._exclusive is client:
                self._exclusive, answer = None, LockAnswer.EXCLUSIVE
            elif client in self._shared:
                self._shared.remove(client)
                answer = LockAnswer.SHARED
            else:
                return LockAnswer.ERROR
            self._changed.notify_all()
            return answer

    def forget(self, client: object) -> None:
        """A client is gone, its locks with it."""
        while self.release(client) is not LockAnswer.ERROR:
            pass

    def info(self) -> tuple[bool, int]:
        """Whether the exclusive lock is held, and how many clients hold any."""
        with self._changed:
            return self._exclusive is not None, len(self._shared | {self._exclusive} - {None})

    def wait_for_turn(self, client: object, gone: Callable[[], bool], seconds: float = math.inf) -> bool:
        """Wait while others' locks keep this client out; False where it is `gone` instead, or they keep it so long."""
        ends = time.monotonic() + seconds
        with self._changed:
            while not self._may_act(client):
                left = ends - time.monotonic()
                if left <= 0 or gone():
                    return False
                self._changed.wait(min(left, _LOOK))
        return True

    def _may_act(self, client: object) -> bool:
        if self._exclusive is not None:
            return self._exclusive is client
        return not self._shared or client in self._shared

    def _may_exclude(self, client: object) -> bool:
        return self._exclusive is None and (not self._shared or client in self._shared)

    def _may_share(self, client: object, key: bytes) -> bool:
        return self._exclusive is None and (not self._shared or key == self._key)

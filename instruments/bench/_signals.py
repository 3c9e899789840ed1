"""Signals at the bench: SIGTERM unwinds as Ctrl-C does, and neither hurries past the switching off."""

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

from .._errors import Terminated

log = logging.getLogger(__name__)


def catch_sigterm() -> Callable[[], object]:
    """Have SIGTERM raise Terminated, where nobody else decided what it does; returns what takes that back."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return lambda: None
    before = signal.signal(signal.SIGTERM, _terminate)
    return lambda: signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated("terminated")


@contextlib.contextmanager
def held_back() -> Iterator[list[int]]:
    """Hold Ctrl-C and SIGTERM back while outputs are being switched off; those that came are in the list."""
    pending: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():

        def note(number: int, frame: FrameType | None) -> None:
            pending.append(number)
            log.warning("switching off; a moment, please")

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield pending
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

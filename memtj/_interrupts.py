"""Ctrl-C and SIGTERM as `KeyboardInterrupt`, raised only where it is heard and no lock of imports is held."""

import _thread
import signal
import sys
import threading
from types import FrameType

_AGAIN = 0.01  # seconds


def send_to_main(number: int) -> None:
    """Have the main thread handle a signal; callable from any thread."""
    main = threading.main_thread().ident
    # On POSIX the signal must reach the main thread itself, to wake it from a blocking call.
    if hasattr(signal, "pthread_kill") and main is not None:
        signal.pthread_kill(main, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def _send_again(number: int) -> None:
    timer = threading.Timer(_AGAIN, send_to_main, (number,))
    timer.daemon = True
    timer.start()


def hear_interrupts() -> list[int]:
    """Have Ctrl-C and SIGTERM raise `KeyboardInterrupt` in the main thread; the list holds the signals that did.

    An exception that is raised in the import system's own frames may leave its lock held, and every later import
    of another thread then waits for ever; one that is raised in a callback of a weak reference or in `__del__` is
    swallowed (Python's `signal`, "Note on Signal Handlers and Exceptions"). Both times the signal comes again a
    moment later.
    """
    heard: list[int] = []
    told = sys.unraisablehook

    def interrupt(number: int, frame: FrameType | None) -> None:
        if frame is not None and frame.f_code.co_filename.startswith("<frozen importlib"):
            _send_again(number)
            return
        heard.append(number)
        raise KeyboardInterrupt

    def swallowed(unraisable: "sys.UnraisableHookArgs") -> None:
        if heard and issubclass(unraisable.exc_type, KeyboardInterrupt):
            _send_again(heard.pop())
        else:
            told(unraisable)

    sys.unraisablehook = swallowed
    # A shell starts background jobs with Ctrl-C ignored; a request to stop pulsing is always heard.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    return heard

"""Forked children that end without closing anything."""

import os
import traceback
from collections.abc import Callable
from typing import NoReturn


def end_with(
    work: Callable[[], object], tell: Callable[[BaseException], object] = traceback.print_exception
) -> NoReturn:
    """Do something and end this process: with status 0, or with 1 after telling what was raised."""
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:
        tell(error)
    finally:
        os._exit(status)


def in_a_child(
    work: Callable[[], object], tell: Callable[[BaseException], object] = traceback.print_exception
) -> int:
    """Do so in a forked child; gives its exit status, or minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        end_with(work, tell)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

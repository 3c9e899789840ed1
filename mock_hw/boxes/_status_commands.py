"""The common commands of IEEE 488.2 that every box answers from its status alone."""

from collections.abc import Callable, Iterator
from typing import Any

from mock_hw._scpi import Command, ScpiError, integer


def status_commands(available: Callable[[Any], bool] = lambda session: False) -> Iterator[Command]:
    """Registers, error queue and completion; `available` says of a session whether a message waits in it."""
    yield Command("*CLS", write=lambda s: s.status.clear(), anyone=True)
    yield Command("*OPC", lambda s: "1", _complete, anyone=True)
    yield Command("*WAI", write=lambda s: None, anyone=True)
    yield Command("*ESR", _event_status)
    yield _register("*ESE", "event_enable")
    yield _register("*SRE", "service_enable")
    yield Command("*STB", lambda s: str(s.status.byte(available(s))))
    yield Command("*TST", lambda s: "0")
    yield Command("SYSTem:ERRor[:NEXT]", lambda s: s.status.pop())
    yield Command("SYSTem:ERRor:COUNt", lambda s: str(s.status.errors))


def _register(header: str, name: str) -> Command:
    def write(s: Any, value: int) -> None:
        if not 0 <= value <= 255:
            raise ScpiError(-222, "0 to 255")
        setattr(s.status, name, value)

    return Command(header, lambda s: str(getattr(s.status, name)), write, (integer,), anyone=True)


def _event_status(s: Any) -> str:
    value, s.status.event_status = s.status.event_status, 0
    return str(value)


def _complete(s: Any) -> None:
    s.status.event_status |= 1

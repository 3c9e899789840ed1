"""Errors of the standard and of boxes, and the error queue and status registers in which they are told."""

from collections import deque
from collections.abc import Callable

ERRORS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -161: "Invalid block data",
    -203: "Command protected",
    -213: "Init ignored",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -230: "Data corrupt or stale",
    -350: "Queue overflow",
    -440: "Query UNTERMINATED after indefinite response",
    101: "Watchdog expired",
    102: "Interlock open",
    103: "Over-temperature",
}

# What the board has no use for, of boxes written from the manuals of others.
_OF_OTHERS = {
    -151: "Invalid string data",
    -211: "Trigger ignored",
    -300: "Device-specific error",
    -410: "Query INTERRUPTED",
    -420: "Query UNTERMINATED",
    803: "Not permitted with OUTPUT off",
    824: "Cannot exceed compliance range",
}

MAX_ERRORS = 32


class ScpiError(Exception):
    """An error for the queue: `number` from the standard's list and an explanation."""

    def __init__(self, number: int, detail: str = "") -> None:
        super().__init__(number, detail)
        self.number = number
        self.text = (ERRORS | _OF_OTHERS)[number] + (f"; {detail}" if detail else "")


class Status:
    """Error queue and IEEE 488.2 status registers of one connection, or of a whole box.

    `most`: errors that the queue holds; `plus`: numbers are written with their sign; `summary` gives bits of the status
    byte that are the box's own.
    """

    def __init__(
        self, most: int = MAX_ERRORS, *, plus: bool = False, summary: Callable[[], int] = lambda: 0
    ) -> None:
        self._most = most
        self._form = "+d" if plus else "d"
        self._summary = summary
        self._errors: deque[tuple[int, str]] = deque()
        self.event_status = 0
        self.event_enable = 0
        self.service_enable = 0

    def push(self, error: ScpiError) -> None:
        """Queue an error and set its bit in the event status register."""
        self._raise_bit(error.number)
        if len(self._errors) < self._most:
            self._errors.append((error.number, error.text))
        else:
            self._errors[-1] = (-350, ERRORS[-350])
            self._raise_bit(-350)

    def pop(self) -> str:
        """The oldest error as `SYSTem:ERRor?` answers it."""
        number, text = self._errors.popleft() if self._errors else (0, ERRORS[0])
        return f'{number:{self._form}},"{text}"'

    def clear(self) -> None:
        """`*CLS`."""
        self._errors.clear()
        self.event_status = 0

    @property
    def errors(self) -> int:
        """Number of errors in the queue."""
        return len(self._errors)

    def byte(self, available: bool) -> int:
        """The status byte; `available` is the message-available bit."""
        value = self._summary() | 4 * bool(self._errors) + 16 * available + 32 * bool(
            self.event_status & self.event_enable
        )
        return value | 64 * bool(value & self.service_enable & ~64)

    def _raise_bit(self, number: int) -> None:
        device_dependent = number > 0
        self.event_status |= 8 if device_dependent else {1: 32, 2: 16, 3: 8, 4: 4}[-number // 100]

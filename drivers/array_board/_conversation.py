"""A pymeasure instrument over a link: questions, answers that are what the dialect says, and what goes wrong."""

import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers._errors import BoardError

from ._answers import Answer
from ._link import BadFrame, Link, NoAnswer
from ._wire import open_adapter, resource_of

T = TypeVar("T")

_WATCHDOG_EXPIRED = (
    "; it heard nothing for the time of its watchdog, as when this computer is busy with other programs or the wire is "
    "slow: see to that, and start again"
)
_ERROR = re.compile(r'\s*([+-]?\d{1,9})\s*,\s*"((?:[^"]|"")*)"\s*')
_MOST_ERRORS = 40  # a queue holds 32


class Conversation(Instrument):
    """Asks and tells, one thread at a time: every answer belongs to its question, or BoardError is raised."""

    def __init__(self, adapter: Adapter | str, name: str, **kwargs: Any) -> None:
        self.lock = threading.RLock()
        self.resource = resource_of(adapter)
        self.who = f"{name} at {self.resource}"
        self._last_command = ""
        opened = open_adapter(adapter, name, kwargs)
        self._link = Link(opened, self.who)
        super().__init__(opened, name, includeSCPI=False)

    @property
    def lost(self) -> bool:
        """Get whether this connection was found dead, so that only another one can help (bool)."""
        return self._link.lost

    @lost.setter
    def lost(self, value: bool) -> None:
        self._link.lost = value

    @property
    def patience(self) -> float:
        """Get the seconds for which an answer is waited for (float)."""
        return self._link.patience

    def overhear(self, heard: Callable[[str, bytes], None]) -> None:
        """Have `heard` told of every piece that is "sent", "got" or "failed" (no byte came in time), as bytes."""
        self._link.heard = heard

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one line; see `Instrument.write`."""
        with self.lock:
            self._last_command = command
            self._link.write(command, **kwargs)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are; see `Instrument.write_bytes`."""
        with self.lock:
            self._last_command = content[:40].split(b"#")[0].decode("ascii", "replace").strip()
            self._link.write_bytes(content, **kwargs)

    def read(self, **kwargs: Any) -> str:
        """Read the answer to a question that `write` has sent; refused where an earlier answer may still come."""
        with self.lock:
            return self._link.read()

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Write a query and read its answer; raises BoardError, with the board's reason where it has one.

        `query_delay` is not needed: an answer is waited for.
        """
        with self.lock:
            return self._answered(command, lambda: self._link.ask(command))

    def values(
        self,
        command: str,
        separator: str = ",",
        cast: Any = float,
        preprocess_reply: Callable[[str], str] | None = None,
        maxsplit: int = -1,
        **kwargs: Any,
    ) -> list:
        """Ask, and read the answer as `cast`; see `Instrument.values`.

        Where `cast` is an `Answer` the list has one value, and BoardError is raised for every other answer; one that
        is to be had twice has to come twice alike.
        """
        if not isinstance(cast, Answer):
            return super().values(command, separator, cast, preprocess_reply, maxsplit, **kwargs)
        if not cast.twice:
            return [self._read_as(cast, command, self.ask(command))]
        first, second = self._ask_twice(command)
        if self._read_as(cast, command, first) != self._read_as(cast, command, second):
            first, second = self._ask_twice(command)  # it may have changed between the two
        value = self._read_as(cast, command, second)
        if self._read_as(cast, command, first) != value:
            raise BoardError(
                f"{self.who} answered {command!r} with {first!r}, and asked again at once with {second!r}: which of "
                "them is true cannot be known; check the wire"
            )
        return [value]

    @property
    def next_error(self) -> tuple[int, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Get the oldest queued error and remove it: number and text, (0, "No error") when there is none."""
        answer = self.ask("SYST:ERR?")
        match = _ERROR.fullmatch(answer)
        if match is None:
            raise BoardError(
                f"{self.who} answered {answer[:60]!r} to 'SYST:ERR?', which is not a number and a quoted text"
            )
        return int(match[1]), match[2]

    def check_errors(self) -> list:
        """Empty the error queue; raises BoardError with the first error's number if there was one."""
        with self.lock:
            command = self._last_command
            errors = []
            while len(errors) < _MOST_ERRORS:
                number, text = self.next_error
                if number == 0:
                    break
                errors.append((number, text))
        if errors:
            listed = "; then ".join(f'{number} "{text}"' for number, text in errors)
            why = _WATCHDOG_EXPIRED if any(number == 101 for number, _ in errors) else ""
            raise BoardError(
                f"{self.who} reports error {listed} (after {command!r}){why}",
                number=errors[0][0],
                text=errors[0][1],
            )
        return []

    def close(self) -> None:
        """Close the connection; an output that it owns goes off, where the wire has a close."""
        with self.lock:
            self.adapter.close()

    def _ask_block(self, command: str) -> memoryview:
        """Send a query that answers a definite-length block; returns its content."""
        with self.lock:
            return self._answered(command, lambda: self._link.ask_block(command))

    def _ask_twice(self, command: str) -> tuple[str, str]:
        with self.lock:
            return self._answered(command, lambda: self._link.ask_twice(command))

    def _read_as(self, kind: Answer, command: str, text: str) -> Any:
        try:
            return kind(text.strip())
        except ValueError as error:
            raise BoardError(f"{self.who} answered {text[:60]!r} to {command!r}, which {error}") from None

    # What goes wrong

    def _answered(self, command: str, ask: Callable[[], T | None]) -> T:
        try:
            answer = ask()
        except NoAnswer as silence:
            raise self._explained(command, silence) from silence
        if answer is None:
            raise self._refused(command, self._reported())
        return answer

    def _explained(self, command: str, silence: NoAnswer) -> BoardError:
        """Find out why an answer failed to come, or its rest: from the error queue, where there is an answer."""
        try:
            reported = self._reported()
        except NoAnswer as still:
            if still.other:  # it is slow, and not gone
                return BoardError(
                    f"{self.who} did not answer {command!r} in time; what comes, {still.other!r}, has not the mark of "
                    "this question: it is too slow, or no board of this protocol"
                )
            self.lost = True
            return BoardError(f"{silence}; check its power and the wire", lost=True, partial=silence.partial)
        except BoardError as error:
            return error
        if (silence.partial or silence.other) and reported[0] == 0:
            return BadFrame(f"{silence}, and goes on answering: check the wire")
        return self._refused(command, reported)

    def _refused(self, command: str, reported: tuple[int, str]) -> BoardError:
        number, text = reported
        if number == 0:
            return BoardError(f"{self.who} did not answer {command!r} in time, and reports no error")
        return BoardError(
            f'{self.who} refused {command!r}: error {number} "{text}"', number=number, text=text
        )

    def _reported(self) -> tuple[int, str]:
        """Ask for the oldest error; 0 where there is none, or the answer is none."""
        match = _ERROR.fullmatch(self._link.ask("SYST:ERR?") or "")
        return (int(match[1]), match[2]) if match else (0, "")

"""Questions to a board and the answers that belong to them.

On a stream of bytes nothing says which question an answer belongs to: it may be late, come twice, or be left by a
program before. So a question travels with a mark in its own line, a number that the board has to say before its answer
(`*ESE 3;*ESE?;*ESE 141;*ESE?;*ESE 0;SYST:TEMP?;*ESE?` is answered `3;141;300.02;0`), and all that comes without that
mark is thrown away (docs/decisions/0011-answers-and-questions.md).
"""

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

import pyvisa
from pymeasure.adapters import Adapter

from drivers._errors import BoardError

from ._wire import wire_of

log = logging.getLogger(__name__)

# s for which other things than the answer are thrown away; a wire slower than that is of no use
LONGEST_REST = 5.0
_LONGEST_LINE = 1 << 16
_LONGEST_BLOCK = 1 << 25  # bytes: 2**26 bits or 2**21 readings with their mask and header are less
_MARKS = 1 << 16
_STEP = 40503  # odd, so that every mark comes in turn; far from 1, so that a digit that is lost makes none of the next
_ENABLE = re.compile(r"\*ESE\s+(\d+)", re.IGNORECASE)


class NoAnswer(BoardError):
    """Nothing, or only a part of an answer, came within the time-out; `other`: the end of what else did."""

    other = b""


class BadFrame(BoardError):
    """What arrived is not framed as the answer that was asked for."""


class Link:
    """One connection: sends lines and reads the answers that belong to them; `who` names the board in what is raised.

    `lost`: the connection was found dead; `heard`: is told of what is "sent", "got" or "failed". Raises BoardError:
    NoAnswer, BadFrame, one that is `lost` where the wire is gone, and another where only other things than the answer
    arrive.
    """

    def __init__(self, adapter: Adapter, who: str) -> None:
        self.lost = False
        self.heard: Callable[[str, bytes], None] | None = None
        self._adapter = adapter
        self._wire = wire_of(adapter)
        self._who = who
        self._mark = secrets.randbelow(_MARKS)
        self._enabled = 0  # what `*ESE` holds between lines, for the mark passes through it
        # To the first question of a connection only its own answer can come, so it needs no mark: a box that is
        # no array board is asked `*IDN?` in this way.
        self._first = self._wire.clean
        self._in_step = self._wire.clean  # whether the last byte that was looked at has ended an answer
        self._rest = bytearray()  # has arrived and was not looked at
        self._asked = ""

    @property
    def patience(self) -> float:
        """Seconds for which an answer is waited for."""
        return self._wire.patience

    def write(self, line: str, **kwargs: Any) -> None:
        """Send a line."""
        enabled = _ENABLE.fullmatch(line.strip())
        if enabled:
            self._enabled = int(enabled[1])
        if self.heard is not None:
            self.heard("sent", line.encode("ascii", "replace") + b"\n")
        with self._watched():
            self._adapter.write(line, **kwargs)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Send bytes as they are."""
        if self.heard is not None:
            self.heard("sent", content)
        with self._watched():
            self._adapter.write_bytes(content, **kwargs)

    def read(self) -> str:
        """Read the line of a question that `write` has sent; refused while another answer may be on its way."""
        if self._wire.marks and not self._in_step:
            raise BoardError(
                f"{self._who} owes an earlier answer: use 'ask', which tells one answer from another"
            )
        self._first = self._in_step = False
        return self._finish(self._line())

    def ask(self, question: str) -> str | None:
        """Ask for a text; None where the board refused to answer."""
        self._asked = question
        if self._wire.marks and not self._first:
            self._find_mark(f"{question};*ESE?")
            return self._after_mark()
        self._ask_plainly(question)
        return self._finish(self._line())

    def ask_twice(self, question: str) -> tuple[str, str] | None:
        """Ask plainly and with a mark at once; the marked answer is the second. None where the board refused.

        Where there are no marks it is asked once, and where a message is answered once in two messages.
        """
        if not self._wire.marks or self._wire.messages:
            first = self.ask(question)
            second = self.ask(question) if self._wire.messages else first
            return None if first is None or second is None else (first, second)
        self._asked = question
        before = self._find_mark(f"{question};*ESE?", question).splitlines()
        answer = self._after_mark()
        plain = before[-1].decode("ascii", "replace").strip() if before else ""
        return None if answer is None else (plain, answer)

    def ask_block(self, question: str) -> memoryview | None:
        """Ask for a definite-length block; None where the board refused to answer."""
        self._asked = question
        if self._wire.marks:
            self._find_mark(question)
            first = self._exactly(1)
            if first != b";":
                self._rest[:0] = first
                self._finish(self._line())
                return None
        else:
            self._ask_plainly(question)
        return self._block()

    def _ask_plainly(self, question: str) -> None:
        if not self._in_step:
            self.lost = True
            raise BoardError(f"{self._who} owes an earlier answer: open another connection", lost=True)
        self._first = self._in_step = False
        self.write(question)

    # Marks

    def _find_mark(self, question: str, *ahead: str) -> bytes:
        """Send a question with a new mark and wait for the mark; returns what came before it.

        The question of a text ends with another `*ESE?`, so that an answer that was cut off is told.
        """
        self._mark = (self._mark + _STEP) % _MARKS
        high, low = divmod(self._mark, 256)
        # What an unfinished answer has left on the wire ends with the line of another one.
        in_step = self._in_step or self._wire.messages  # a message begins where the last one has ended
        lines = [*([] if in_step else ["*ESE?"]), *ahead]
        seen, self._rest = bytearray(b"\n" if in_step else b"") + self._rest, bytearray()
        self._first = self._in_step = False
        self.write("\n".join([*lines, f"*ESE {high};*ESE?;*ESE {low};*ESE?;*ESE {self._enabled};{question}"]))
        before, self._rest = self._search(seen, b"\n%d;%d" % (high, low))
        if before and not lines:
            log.debug("%s: %d bytes that answer no question are thrown away", self._who, len(before))
        return before

    def _search(self, seen: bytearray, mark: bytes) -> tuple[bytes, bytearray]:
        """Read until the mark and the byte after it are there; returns what came before and what came after it."""
        ends = time.monotonic() + self.patience + LONGEST_REST
        at = 0
        while True:
            at = seen.find(mark, at)
            after = at + len(mark)
            if at >= 0 and len(seen) > after:
                if seen[after] in b";\r\n":
                    return bytes(seen[:at]), seen[after:]
                at += 1
                continue
            at = max(0, len(seen) - len(mark) if at < 0 else at)
            drop = max(0, at - _LONGEST_LINE)
            del seen[:drop]
            at -= drop
            seen += self._some(None, partial=False, other=seen)
            if time.monotonic() > ends:
                raise BoardError(f"the rest of an answer of {self._who} still arrives: the wire is too slow")

    def _after_mark(self) -> str | None:
        text = self._finish(self._line())
        answer, there, end = text.removeprefix(";").rpartition(";")
        if end.strip() != str(self._enabled):
            raise BoardError(
                f"{self._who} answered {text[1:60]!r} to {self._asked!r}, without its end: check the wire"
            )
        return answer.strip() if there else None

    # Framing

    def _finish(self, line: bytes) -> str:
        self._in_step = True
        try:
            return line.decode("ascii").rstrip("\r\n")
        except UnicodeDecodeError:
            raise self._misframed(f"sent {line[:60]!r} where a line of text belongs") from None

    def _line(self) -> bytes:
        at = 0
        while (end := self._rest.find(b"\n", at)) < 0:
            if len(self._rest) > _LONGEST_LINE:
                raise self._misframed("sends a line without an end")
            at = len(self._rest)
            self._rest += self._some(None, partial=bool(self._rest))
        line = bytes(self._rest[: end + 1])
        del self._rest[: end + 1]
        return line

    def _block(self) -> memoryview:
        head = self._exactly(2, begun=self._wire.marks)
        digits = head[1] - ord("0")
        if head[:1] != b"#" or not 1 <= digits <= 9:
            raise self._misframed(f"answered {bytes(head)!r} where a block begins")
        length = bytes(self._exactly(digits))
        if not length.isdigit() or int(length) > _LONGEST_BLOCK:
            raise self._misframed(f"sent a block of length {length!r}")
        content = self._exactly(int(length) + 1)
        if content[-1:] != b"\n":
            raise self._misframed("sent a block that does not end where its length says")
        self._in_step = True
        return memoryview(content).toreadonly()[:-1]

    def _exactly(self, count: int, *, begun: bool = True) -> bytearray:
        content = self._rest[:count]
        del self._rest[:count]
        while len(content) < count:
            content += self._some(count - len(content), partial=begun or bool(content))
        if len(content) > count:
            self._rest[:0] = content[count:]
            del content[count:]
        return content

    def _some(self, count: int | None, *, partial: bool, other: bytes | bytearray = b"") -> bytes:
        with self._watched(partial):
            data = self._wire.take(count)
        if self.heard is not None:
            self.heard("got" if data else "failed", data or b"nothing came in time")
        if not data:
            how = "stopped in the middle of its answer to" if partial else "did not answer"
            silence = NoAnswer(
                f"{self._who} {how} {self._asked!r} within {self.patience:g} s", partial=partial
            )
            silence.other = bytes(other.strip()[-60:])
            raise silence
        return data

    def _misframed(self, what: str) -> BadFrame:
        self._in_step = False
        return BadFrame(f"{self._who} {what}: is it a board of this protocol, and is nobody else reading?")

    @contextlib.contextmanager
    def _watched(self, partial: bool = False) -> Iterator[None]:
        """Turn what the wire raises into BoardError."""
        try:
            yield
        except (pyvisa.errors.Error, OSError) as error:
            self.lost = True
            raise BoardError(
                f"the connection to {self._who} is lost ({error}): check its power and the wire",
                lost=True,
                partial=partial,
            ) from error

"""What comes over a wire, cut into lines within bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

from mock_hw._scpi._status import ScpiError

MAX_LINE = 64 * 1024


@dataclass(frozen=True)
class Line:
    """A complete program message: its text, a `#` in the place of the block, and the block."""

    text: bytes
    block: bytes | None


class InputClosed(Exception):
    """The input is hopeless (endless line): close the connection."""


class Assembler:
    """Cuts a stream of bytes into `Line`s, whose blocks may hold line feeds, within bounded memory."""

    def __init__(self, max_block: int) -> None:
        self._max_block = max_block
        self._buffer = bytearray()
        self._searched = 0
        self._discarding = False
        self._discarded = 0

    def feed(self, data: bytes | memoryview) -> Iterator[Line | ScpiError]:
        """Lines and input errors in `data` and what came before; `InputClosed` when a line does not end."""
        self._buffer += data
        while self._buffer:
            if self._discarding and not self._skip():
                return
            item = self._next()
            if item is None:
                return
            yield item

    @property
    def unfinished(self) -> bool:
        """Whether a line was begun and has not ended."""
        return bool(self._buffer)

    def clear(self) -> None:
        """Forget what was begun."""
        self._buffer.clear()
        self._searched, self._discarding, self._discarded = 0, False, 0

    def _skip(self) -> bool:
        """Drop bytes up to the line feed; False when it is not there yet."""
        end = self._buffer.find(b"\n")
        self._discarded += len(self._buffer) if end < 0 else end
        del self._buffer[: len(self._buffer) if end < 0 else end + 1]
        if end < 0 and self._discarded > MAX_LINE:
            raise InputClosed("a line does not end")
        if end >= 0:
            self._discarding = False
        return end >= 0 and bool(self._buffer)

    def _fail(self, number: int, detail: str, consumed: int) -> ScpiError:
        del self._buffer[:consumed]
        self._searched = 0
        self._discarding, self._discarded = True, 0
        return ScpiError(number, detail)

    def _next(self) -> Line | ScpiError | None:
        buffer = self._buffer
        end = buffer.find(b"\n", self._searched)
        sharp = buffer.find(b"#", self._searched, end if end >= 0 else len(buffer))
        text_length = sharp if sharp >= 0 else end if end >= 0 else len(buffer)
        if text_length > MAX_LINE:
            return self._fail(-223, f"a line has at most {MAX_LINE} bytes", text_length)
        if sharp >= 0:
            self._searched = sharp
            return self._with_block(sharp)
        if end < 0:
            self._searched = len(buffer)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._searched = 0
        return Line(line.removesuffix(b"\r"), None)

    def _with_block(self, sharp: int) -> Line | ScpiError | None:
        buffer = self._buffer
        head = bytes(buffer[sharp + 1 : sharp + 11])
        if not head:
            return None
        if head[:1] not in b"123456789":
            return self._fail(-161, "malformed block header", sharp + 1)
        digits = head[1 : 1 + int(head[:1])]
        if digits and not digits.isdigit():
            return self._fail(-161, "malformed block header", sharp + 1)
        if len(digits) < int(head[:1]):
            return None
        length, start = int(digits), sharp + 2 + len(digits)
        if length > self._max_block:
            return self._fail(-161, f"a block has at most {self._max_block} bytes here", start)
        end = start + length
        if len(buffer) <= end or (buffer[end] == 13 and len(buffer) == end + 1):
            return None
        tail = 1 if buffer[end] == 10 else 2
        if tail == 2 and buffer[end : end + 2] != b"\r\n":
            return self._fail(-161, "a block is the last parameter of its line", end)
        line = Line(bytes(buffer[: sharp + 1]), bytes(buffer[start:end]))
        del buffer[: end + tail]
        self._searched = 0
        return line

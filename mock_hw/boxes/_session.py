"""A connection to a box: lines, answers, error queue; a rule of the box that does not hold is an error in it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from mock_hw._scpi import (
    Answer,
    Assembler,
    Command,
    Line,
    ScpiError,
    Status,
    Table,
    Unit,
    arguments,
    units,
)
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.physics import DeviceError

log = logging.getLogger(__name__)

_NUMBERS = {
    Rule.RANGE: -222,
    Rule.CONFLICT: -221,
    Rule.PROTECTED: -203,
    Rule.RUNNING: -213,
    Rule.WATCHDOG: 101,
    Rule.INTERLOCK: 102,
    Rule.TEMPERATURE: 103,
    Rule.TRIGGER: -211,
    Rule.COMPLIANCE: 824,
    Rule.OUTPUT_OFF: 803,
    Rule.STALE: -230,
    Rule.SIMULATION: -300,
}

Response = list[bytes | memoryview]
"""One response message, in pieces to send one after the other."""


def error_of(trouble: RuleBroken) -> ScpiError:
    """The error that says it on the wire, in ASCII."""
    detail = trouble.detail.encode("ascii", "replace").decode().replace('"', "'")
    return ScpiError(_NUMBERS[trouble.rule], detail)


class BoxSession:
    """One connection to a box that answers the commands of `table`: input, and the status that it shares or owns.

    While a command acts, `lock` is held. `hang_up` is called when the box drops it, None where a wire has no close.
    """

    def __init__(
        self,
        table: Table,
        status: Status,
        lock: AbstractContextManager[object],
        hang_up: Callable[[], None] | None = None,
        *,
        max_block: int = 64,
    ) -> None:
        self.hang_up = hang_up
        self.status = status
        self._table = table
        self._lock = lock
        self._input = Assembler(max_block)

    def feed(self, data: bytes | memoryview, *, end: bool = False) -> Iterator[Response]:
        """Act on received bytes, and give the responses; `end`: the wire says that a message ends with them.

        Raises `mock_hw._scpi.InputClosed` when the connection should be closed.
        """
        for line in self.lines(data, end=end):
            if response := self.execute(line):
                yield response

    def lines(self, data: bytes | memoryview, *, end: bool = False) -> Iterator[Line]:
        """The lines that these bytes complete; an `end` completes one as a line feed does."""
        for item in self._input.feed(bytes(data) + b"\n" if end else data):
            if isinstance(item, Line):
                yield item
            else:
                self._push(item)
        if end and self._input.unfinished:
            self._input.clear()
            self._push(ScpiError(-161, "the message ends within a block"))

    def trigger(self) -> Iterator[Response]:
        """Act as on `*TRG`; a box that has none takes no notice (IEEE 488.2: DT0)."""
        if "*TRG" in self._table and (response := self.execute(Line(b"*TRG", None))):
            yield response

    def interrupt(self) -> None:
        """Queue that a message came before the answer to the last one was read."""
        self._push(ScpiError(-410))

    def unterminated(self) -> None:
        """Queue that an answer was wanted where none is to come."""
        self._push(ScpiError(-420))

    def clear(self) -> None:
        """Forget the line that was begun."""
        self._input.clear()

    def status_byte(self, available: bool) -> int:
        """The status byte as a serial poll reads it; `available`: an answer waits."""
        with self._lock:
            return self.status.byte(available)

    def _push(self, error: ScpiError) -> None:
        with self._lock:
            self.status.push(error)

    def execute(self, line: Line) -> Response:
        """Act on one line; empty where there is nothing to answer."""
        answers: list[Answer] = []
        for unit in units(line.text, line.block, strings=self._table.strings, lenient=self._table.lenient):
            with self._lock:
                self._check_power()
                try:
                    answer = self._perform(unit)
                except RuleBroken as trouble:
                    self.report(trouble)
                except DeviceError as error:
                    log.warning("a command went beyond the model of a device: %s", error)
                    self.report(RuleBroken(Rule.SIMULATION, str(error)))
                except ScpiError as error:
                    self.status.push(error)
                else:
                    answers += [] if answer is None else [answer]
        texts = ";".join(a for a in answers if isinstance(a, str))
        blocks = [a for a in answers if not isinstance(a, str)]
        if not blocks:
            return [texts.encode() + b"\n"] if texts else []
        return [texts.encode() + b";", *blocks] if texts else [*blocks]

    def report(self, trouble: RuleBroken) -> None:
        """Queue it as an error."""
        self.status.push(error_of(trouble))

    def close(self) -> None:
        """The connection is gone."""

    def _check_power(self) -> None:
        """Raise `mock_hw._scpi.InputClosed` where the box was without power since the connection was made."""

    def _permit(self, command: Command, query: bool) -> None:
        """Raise ScpiError where the command may not be sent now."""

    def _perform(self, unit: Unit | ScpiError) -> Answer | None:
        if isinstance(unit, ScpiError):
            raise unit
        command = self._table.find(unit.header)
        action = command.read if unit.query else command.write
        if action is None:
            raise ScpiError(-113, unit.header[:40] + ("?" if unit.query else ""))
        values = arguments(command, unit)
        if unit.query and command.block_answer and not unit.last:
            raise ScpiError(-440, "ask for a block in the last unit of a line")
        self._permit(command, unit.query)
        return action(self, *values)

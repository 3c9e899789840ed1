"""A connection to the board: lines, answers, error queue; a rule of the board that does not hold is an error in it."""

from collections.abc import Callable, Iterator

from mock_hw._scpi import (
    Answer,
    Assembler,
    Command,
    InputClosed,
    Line,
    ScpiError,
    Status,
    Table,
    Unit,
    arguments,
    units,
)
from mock_hw.boxes.array_board._board import ArrayBoard
from mock_hw.boxes.array_board._settings import Rule, RuleBroken

FETCH_WAIT = 0.5  # seconds for a block to come
NO_BLOCK = memoryview(b"#10\n")
_NUMBERS = {
    Rule.RANGE: -222,
    Rule.CONFLICT: -221,
    Rule.PROTECTED: -203,
    Rule.RUNNING: -213,
    Rule.WATCHDOG: 101,
    Rule.INTERLOCK: 102,
    Rule.TEMPERATURE: 103,
}

Response = list[bytes | memoryview]
"""One response message, in pieces to send one after the other."""


def error_of(trouble: RuleBroken) -> ScpiError:
    """The error that says it on the wire, in ASCII."""
    detail = trouble.detail.encode("ascii", "replace").decode().replace('"', "'")
    return ScpiError(_NUMBERS[trouble.rule], detail)


class Session:
    """One connection to a `board` that answers the commands of `table`: input, status, the block it fetched last.

    `hang_up` is called when the board drops it, None where a wire has no close.
    """

    def __init__(self, board: ArrayBoard, table: Table, hang_up: Callable[[], None] | None = None) -> None:
        self.board = board
        self.hang_up = hang_up
        self.status = Status()
        self.last_block: memoryview | None = None
        self._table = table
        self._dropped = False
        self._input = Assembler(4 * board.array.rows * board.array.columns + 64)
        with board.changed:
            board.connections.append(self)

    def feed(self, data: bytes | memoryview) -> Iterator[Response]:
        """Act on received bytes, and give the responses.

        Raises `mock_hw._scpi.InputClosed` when the connection should be closed.
        """
        for line in self.lines(data):
            if response := self.execute(line):
                yield response

    def lines(self, data: bytes | memoryview) -> Iterator[Line]:
        """The lines that these bytes complete."""
        for item in self._input.feed(data):
            if isinstance(item, Line):
                yield item
            else:
                with self.board.changed:
                    self.status.push(item)

    def execute(self, line: Line) -> Response:
        """Act on one line; empty where there is nothing to answer."""
        with self.board.changed:
            self.board.protection.feed(self)
        answers: list[Answer] = []
        for unit in units(line.text, line.block):
            with self.board.changed:
                if self._dropped:
                    raise InputClosed("the board lost its power")
                try:
                    answer = self._perform(unit)
                except RuleBroken as trouble:
                    self.report(trouble)
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

    def forget(self) -> None:
        """The board was without power: status, last block and the connection, where the wire has one, are lost.

        What the connection had sent before must not reach the board any more, even if it is still on its way.
        """
        self.status = Status()
        self.last_block = None
        self._dropped = self.hang_up is not None

    def close(self) -> None:
        """The connection is gone."""
        with self.board.changed:
            self.board.forget(self)
        self.last_block = None

    def fetch(self) -> memoryview:
        """The oldest block of the FIFO as `FETCh?` answers it."""
        self.last_block = self.board.acquisition.take(FETCH_WAIT) or NO_BLOCK
        return self.last_block

    def fetch_again(self) -> memoryview:
        """What `fetch` gave last."""
        if self.last_block is None:
            raise ScpiError(-230, "no block was fetched on this connection")
        return self.last_block

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

    def _permit(self, command: Command, query: bool) -> None:
        foreign = self.board.owner not in (None, self)
        if foreign and (command.owner_query if query else not command.anyone):
            raise ScpiError(-203, "the output is on and another connection owns the board")
        if self.board.running and (command.idle_query if query else command.idle):
            raise ScpiError(-221, "an acquisition is running")

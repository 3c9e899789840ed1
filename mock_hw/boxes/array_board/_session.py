"""A connection to the board: what the board's own rules ask of a session, and the block that it fetched last."""

from collections.abc import Callable

from mock_hw._scpi import Command, InputClosed, Line, ScpiError, Status, Table
from mock_hw.boxes._session import BoxSession, Response
from mock_hw.boxes.array_board._board import ArrayBoard

FETCH_WAIT = 0.5  # seconds for a block to come
NO_BLOCK = memoryview(b"#10\n")


class Session(BoxSession):
    """One connection to a `board`: its own status, the block it fetched last, and whether it may act.

    `hang_up` is called when the board drops it, None where a wire has no close.
    """

    def __init__(self, board: ArrayBoard, table: Table, hang_up: Callable[[], None] | None = None) -> None:
        super().__init__(
            table, Status(), board.changed, hang_up, max_block=4 * board.array.rows * board.array.columns + 64
        )
        self.board = board
        self.last_block: memoryview | None = None
        self._dropped = False
        with board.changed:
            board.connections.append(self)

    def execute(self, line: Line) -> Response:
        """Act on one line; empty where there is nothing to answer."""
        with self.board.changed:
            self.board.protection.feed(self)
        return super().execute(line)

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

    def _check_power(self) -> None:
        if self._dropped:
            raise InputClosed("the board lost its power")

    def _permit(self, command: Command, query: bool) -> None:
        foreign = self.board.owner not in (None, self)
        if foreign and (command.owner_query if query else not command.anyone):
            raise ScpiError(-203, "the output is on and another connection owns the board")
        if self.board.running and (command.idle_query if query else command.idle):
            raise ScpiError(-221, "an acquisition is running")

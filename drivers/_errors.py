"""What can go wrong with a board; every message names the board and says what to do."""


class BoardError(Exception):
    """A board refused a command, stopped answering, or cannot be reached.

    `number`: error number of the board's queue (0 where the board said nothing); `text`: its text;
    `lost`: the connection is gone, so nothing more can be said over it; `partial`: a part of the answer had
    arrived.
    """

    def __init__(
        self, message: str, *, number: int = 0, text: str = "", lost: bool = False, partial: bool = False
    ) -> None:
        super().__init__(message)
        self.number = number
        self.text = text
        self.lost = lost
        self.partial = partial


class CorruptBlock(BoardError):
    """A block arrived damaged (CRC, header, length or frame); the board can be asked for it again."""


class UnknownDriver(BoardError):
    """No class may be used under this name."""

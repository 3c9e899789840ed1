"""A board with faults: a wrapper around it and its sessions, so that neither knows of them."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from mock_hw._arguments import Count, takes
from mock_hw._scpi import Command, InputClosed, ScpiError, Table
from mock_hw.boxes import ArrayBoard
from mock_hw.boxes.array_board import NO_BLOCK, TABLE, Response, Session
from mock_hw.faults._cells import FaultyDevice
from mock_hw.faults._kinds import (
    KINDS,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    Error,
    Fault,
    Mute,
    OfBlocks,
    OfCells,
    Rate,
    Refuse,
    Skip,
    fit,
)

# A slow wire sends so much of its seconds at a time.
_SLICE = 0.01

Piece = bytes | memoryview | float
"""Bytes to send, or seconds to wait before what comes next."""

_F = TypeVar("_F", bound=Fault)


class FaultyBoard:
    """The faults of one board, none to begin with, and the sessions that show them.

    "After n blocks" counts the blocks that `FETCh?` delivers from when the fault was set. Faults outlast `*RST` and a
    power cycle, which ends only a hang. `seed` decides which bit of a block is damaged, and which cells are broken
    where they are only counted.
    """

    @takes(seed=Count())
    def __init__(self, board: ArrayBoard, *, seed: int = 0) -> None:
        self.board = board
        self.temperature = board.protection.temperature
        self.sessions: list[FaultySession] = []
        self.cut: set[Session] = set()
        """Sessions whose connection ends with the response that they are about to send."""
        self._faults: list[Fault] = []
        self.refuse_until = 0.0
        self._seed = seed
        self._rng = np.random.default_rng([seed, 0xFA017])
        fetching = {"FETCh[:BLOCk]": self._fetch, "FETCh:AGAin": self._fetch_again}
        dialect = (replace(each, read=fetching.get(each.header, each.read)) for each in TABLE.commands)
        self._table = Table((*dialect, *simulator_commands(self)))

    def open_session(self, hang_up: Callable[[], None] | None = None) -> "FaultySession":
        """A new connection; `hang_up` is called when the board drops it, None where a wire has no close.

        Raises `mock_hw._scpi.InputClosed` while a fault has it refuse connections.
        """
        with self.board.changed:
            if self._refusing and hang_up is not None:
                raise InputClosed("a simulated fault refuses it")
            session = FaultySession(self, Session(self.board, self._table, hang_up))
            self.sessions.append(session)
            for fault in self._present(Error):
                session.honest.status.push(fault.error)
            return session

    def power_cycle(self) -> None:
        """Take the board's power and give it back, which ends a hang."""
        with self.board.changed:
            self._end(Mute)
        self.board.power_cycle()

    # --- setting and ending them ---

    def inflict(self, faults: Sequence[Fault]) -> None:
        """Set the faults of a lab file, and end all others."""
        with self.board.changed:
            self.clear()
            for fault in faults:
                if isinstance(fault, Error) and not fault.waits:
                    self._faults.append(fault)  # for each connection that opens
                elif not isinstance(fault, OfCells) or not fault.cells:
                    self.set(fault)
            array = self.board.array
            named = {each.place for each in self._faults if isinstance(each, OfCells)}
            for index, fault in enumerate(faults):
                if isinstance(fault, OfCells) and fault.cells:
                    cells = range(array.rows * array.columns)
                    free = [cell for cell in cells if divmod(cell, array.columns) not in named]
                    draw = np.random.default_rng([self._seed, 0xCE11, index])
                    for cell in draw.choice(free, min(fault.cells, len(free)), replace=False).tolist():
                        named.add(divmod(cell, array.columns))
                        self.set(fault.at(*divmod(cell, array.columns)))

    def obey(self, kind: type[Fault], values: tuple[Any, ...]) -> None:
        """Set the fault of a command, or end it; raises ScpiError where a value is out of range."""
        if values == kind.ended_by:
            self._end(kind)
        else:
            fault, array = kind.by_command(values), self.board.array
            if fit([fault], array.rows, array.columns):
                raise ScpiError(-222, f"the array has {array.rows} rows and {array.columns} columns")
            self.set(fault)

    def set(self, fault: Fault) -> None:
        """Have a fault from now on, or once its blocks have been fetched."""
        with self.board.changed:
            if fault.waits or isinstance(fault, OfBlocks):
                self._faults.append(fault)
            else:
                self._begin(fault)

    def clear(self) -> None:
        """End every fault; the cells are sound again."""
        with self.board.changed:
            faults, self._faults = self._faults, []
            for fault in faults:
                if not fault.waits:
                    fault.end(self)
            if isinstance(self.board.array.device, FaultyDevice):
                self.board.array.device.repair()
            self.board.changed.notify_all()  # a stall may be over

    def listing(self) -> str:
        """Every fault there is as the command that sets it, each in quotation marks, with commas between."""
        texts = [
            f'"{each.text} after {each.waits} blocks"' if _is_yet_to_begin(each) else f'"{each.text}"'
            for each in sorted(self._faults, key=_place_in_list)
            if self._refusing or each.waits or not isinstance(each, Refuse)
        ]
        return ",".join(texts) or '""'

    def _begin(self, fault: Fault) -> None:
        fault.begin(self)
        self._faults = [each for each in self._faults if each.waits or not fault.replaces(each)]
        if fault.values != fault.ended_by and not isinstance(fault, Error):
            self._faults.append(fault)

    def _end(self, kind: type[Fault]) -> None:
        for fault in self._present(kind):
            self._faults.remove(fault)
            fault.end(self)

    def _present(self, kind: type[_F]) -> list[_F]:
        return [each for each in self._faults if isinstance(each, kind) and not each.waits]

    def _meet(self, kind: type[Fault]) -> bool:
        """Whether there is such a fault; it is used up once."""
        for fault in self._present(kind)[:1]:
            left, at = fault.used(), self._faults.index(fault)
            self._faults[at : at + 1] = [] if left is None else [left]
            return True
        return False

    # --- what they act on ---

    @property
    def cells(self) -> FaultyDevice:
        """The cells, to break them; −221 where this board's are of another kind."""
        if not isinstance(self.board.array.device, FaultyDevice):
            raise ScpiError(-221, "the cells of this board cannot be broken")
        return self.board.array.device

    def queue_error(self, error: ScpiError) -> None:
        """Put an error into the queues of all connections."""
        with self.board.changed:
            for session in self.sessions:
                session.honest.status.push(error)

    # --- what they do to lines, blocks and answers ---

    @property
    def hung(self) -> bool:
        """Whether the board neither acts nor answers."""
        return bool(self._present(Mute))

    @property
    def _refusing(self) -> bool:
        return time.monotonic() < self.refuse_until

    def swallows(self, line: bytes) -> bool:
        """Whether a line is lost on a board that hangs; those that set faults never are."""
        if not self.hung or _is_for_the_simulator(line):
            return False
        if b"?" in line:
            self._meet(Mute)
        return True

    def on_the_wire(self, line: bytes, response: Response) -> Iterable[Piece]:
        """The answer to a line as it travels: late, slow, or as it is."""
        late, slow = self._present(Delay), self._present(Rate)
        if not (late or slow) or _is_for_the_simulator(line):
            return response
        return _travelling(
            response, late[0].seconds if late else 0.0, slow[0].bytes_per_second if slow else None
        )

    def _fetch(self, session: Session) -> memoryview:
        if not self._faults:
            return session.fetch()
        last = session.last_block
        if last is not None and last is not NO_BLOCK and self._meet(Duplicate):
            block = last
        else:
            while (block := session.fetch()) is not NO_BLOCK and self._meet(Skip):
                pass
        if block is NO_BLOCK:
            return block
        cut = self._meet(Drop)
        sent = self._damaged(block)
        self._count_down()
        if not cut:
            return sent
        self.cut.add(session)
        return sent[: len(sent) // 2]

    def _fetch_again(self, session: Session) -> memoryview:
        block = session.fetch_again()
        return block if block is NO_BLOCK else self._damaged(block)

    def _damaged(self, block: memoryview) -> memoryview:
        if not self._meet(Corrupt):
            return block
        copy = bytearray(block)
        first = 2 + int(chr(copy[1]))
        at = int(self._rng.integers(8 * first, 8 * (len(copy) - 1)))
        copy[at // 8] ^= 0x80 >> at % 8
        return memoryview(copy)

    def _count_down(self) -> None:
        waited = {id(each) for each in self._faults if _is_yet_to_begin(each)}
        sooner = [(id(each) in waited, each.sooner()) for each in self._faults]
        self._faults = [each for waiting, each in sooner if each.waits or not waiting]
        for waiting, fault in sooner:
            if waiting and not fault.waits:
                self._begin(fault)


class FaultySession:
    """One connection to a faulty board: the `honest` session, but for what its faults keep from it or do to it."""

    def __init__(self, faults: FaultyBoard, honest: Session) -> None:
        self.honest = honest
        self._faults = faults

    def feed(self, data: bytes | memoryview, *, end: bool = False) -> Iterator[Iterable[Piece]]:
        """Act on received bytes, and give the responses, in pieces to send; a number among them is a pause in seconds.

        `end`: the wire says that a message ends with them. Raises `mock_hw._scpi.InputClosed` when the connection
        should be closed.
        """
        for line in self.honest.lines(data, end=end):
            with self.honest.board.changed:
                if self._faults.swallows(line.text):
                    continue
            if response := self.honest.execute(line):
                yield self._faults.on_the_wire(line.text, response)
                if self.honest in self._faults.cut:
                    self._faults.cut.remove(self.honest)
                    raise InputClosed("a simulated fault cuts it")

    def trigger(self) -> Iterator[Iterable[Piece]]:
        """Act as on `*TRG`, unless the board hangs."""
        if not self._faults.hung:
            yield from self.honest.trigger()

    def interrupt(self) -> None:
        """An answer was not read."""
        self.honest.interrupt()

    def unterminated(self) -> None:
        """An answer was wanted where none is to come, which a board that hangs does not notice."""
        if not self._faults.hung:
            self.honest.unterminated()

    def clear(self) -> None:
        """Forget the line that was begun."""
        self.honest.clear()

    def status_byte(self, available: bool) -> int:
        """The status byte, which the wire's own electronics tell even of a board that hangs."""
        return self.honest.status_byte(available)

    def close(self) -> None:
        """The connection is gone, which a board that hangs does not notice."""
        with self.honest.board.changed:
            self._faults.sessions.remove(self)
            if self._faults.hung:
                self.honest.board.connections.remove(self.honest)
            else:
                self.honest.close()


def simulator_commands(faults: FaultyBoard) -> Iterator[Command]:
    """The commands with which anybody may break a simulated board: docs/simulated-lab.md.

    No firmware has them, and no driver sends them: they are not part of the board's dialect.
    """

    def setting(kind: type[Fault]) -> Callable[..., None]:
        return lambda session, *values: faults.obey(kind, values)

    header = "SIMulator:FAULt"
    yield Command(header, lambda session: faults.listing())
    yield Command(f"{header}:CLEar", write=lambda session: faults.clear(), anyone=True)
    for kind in KINDS:
        yield Command(
            f"{header}:{kind.command}", write=setting(kind), parameters=kind.converters(), anyone=True
        )


def _is_for_the_simulator(line: bytes) -> bool:
    return line.lstrip(b": \t")[:3].upper() == b"SIM"


def _is_yet_to_begin(fault: Fault) -> bool:
    return fault.waits > 0 and not isinstance(fault, OfBlocks)


def _place_in_list(fault: Fault) -> tuple[int, ...]:
    if _is_yet_to_begin(fault):
        return (len(KINDS),)
    return KINDS.index(type(fault)), *(fault.place if isinstance(fault, OfCells) else ())


def _travelling(response: Response, delay: float, rate: float | None) -> Iterator[Piece]:
    if delay:
        yield float(delay)
    for piece in response:
        step = len(piece) if rate is None else max(1, int(rate * _SLICE))
        for start in range(0, len(piece), step):
            part = piece[start : start + step]
            yield part
            if rate is not None:
                yield len(part) / rate

"""What is wrong with a simulated board: its answers, its blocks, its surroundings, its cells."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mock_hw._scpi import ScpiError
from mock_hw.faults._cells import FaultyDevice

# Ranges that lab file and commands share: blocks, blocks, bytes per second, seconds, kelvin, volts per hour, a word.
MOST_BLOCKS = 10**9
FEWEST_FIFO_BLOCKS = 2
SLOWEST_WIRE = 100.0
LATEST_ANSWER = 60.0
LONGEST_REFUSAL = 600.0
HOTTEST = 1000.0
FASTEST_DRIFT = 1e12
MODEL = r"[A-Za-z0-9._-]{1,32}"
# A slow wire sends so much of its seconds at a time.
_SLICE = 0.01

Piece = bytes | memoryview | float
"""Bytes to send, or seconds to wait before what comes next."""


class Surroundings(Protocol):
    """What the faults change of the board itself."""

    temperature: float

    def set_temperature(self, kelvin: float) -> None:
        """Set the temperature at the array."""
        ...

    def set_interlock(self, closed: bool) -> None:
        """Open or close the interlock."""
        ...

    def queue_error(self, error: ScpiError) -> None:
        """Put an error into the queues of all connections."""
        ...

    def fifo_changed(self) -> None:
        """The FIFO holds another number of blocks now."""
        ...


@dataclass
class _Some:
    """The next `count` blocks are damaged, or left out, once `after` more have been fetched."""

    after: int
    count: int


def _sooner(faults: list[_Some]) -> None:
    for fault in faults:
        fault.after = max(0, fault.after - 1)


def _use(faults: list[_Some]) -> bool:
    """Use one block of a fault up, where one is due."""
    due = next((each for each in faults if not each.after), None)
    if due is None:
        return False
    due.count -= 1
    if not due.count:
        faults.remove(due)
    return True


@dataclass
class _Later:
    """Something that begins once `after` more blocks have been fetched; `text` names it."""

    after: int
    text: str
    begin: Callable[[], None]


class BoardFaults:
    """The faults of one board, none to begin with; callers hold the board's lock.

    "After n blocks" counts the blocks that `FETCh?` delivers from when the fault was set. Faults outlast
    `*RST` and a power cycle, which ends only a hang. `seed` decides which bit of a block is damaged.
    """

    def __init__(self, board: Surroundings, columns: int, cells: FaultyDevice | None, seed: int = 0) -> None:
        self._board = board
        self._columns = columns
        self._cells = cells
        self._temperature = board.temperature
        self._rng = np.random.default_rng([seed, 0xFA017])
        self._forget()

    def _forget(self) -> None:
        self.model: str | None = None
        self.fifo: int | None = None
        self.first_errors: list[ScpiError] = []
        self._rate: float | None = None
        self._delay = 0.0
        self._unanswered = 0
        self._refusal, self._refuse_until = 0.0, 0.0
        self._drops: list[int] = []
        self._damages: list[_Some] = []
        self._repeats: list[_Some] = []
        self._skips: list[_Some] = []
        self._later: list[_Later] = []
        self._hot = self._unlocked = False

    # --- setting them ---

    @property
    def cells(self) -> FaultyDevice:
        """The cells, to break them; −221 where this board's are of another kind."""
        if self._cells is None:
            raise ScpiError(-221, "the cells of this board cannot be broken")
        return self._cells

    def after(self, blocks: int, text: str, begin: Callable[[], None]) -> None:
        """Have `begin` called once so many blocks have been fetched, or at once."""
        if blocks:
            self._later.append(_Later(blocks, text, begin))
        else:
            begin()

    def drop(self, after: int) -> None:
        """Cut the connection that fetches, in the middle of a block."""
        self._drops.append(after)

    def corrupt(self, after: int, count: int) -> None:
        """Damage blocks on their way to the host; `FETCh:AGAin?` sends the block anew."""
        self._damages.append(_Some(after, count))

    def repeat(self, after: int) -> None:
        """Answer `FETCh?` once with the block before, and take none out of the FIFO."""
        self._repeats.append(_Some(after, 1))

    def skip(self, after: int, count: int) -> None:
        """Lose blocks out of the FIFO before they are fetched."""
        self._skips.append(_Some(after, count))

    def refuse(self, seconds: float) -> None:
        """Close every new connection at once for a while; those that are open stay."""
        self._refusal, self._refuse_until = seconds, time.monotonic() + seconds

    def limit_fifo(self, blocks: int) -> None:
        """Have the FIFO hold fewer blocks."""
        self.fifo = blocks
        self._board.fifo_changed()

    def slow_down(self, bytes_per_second: float) -> None:
        """Send every answer no faster than this."""
        self._rate = bytes_per_second

    def delay(self, seconds: float) -> None:
        """Send every answer so much later; meanwhile its connection is not listened to."""
        self._delay = seconds

    def hang(self, answers: int) -> None:
        """Neither act nor answer until so many lines that ask something have come."""
        self._unanswered = answers

    def heat(self, kelvin: float) -> None:
        """Change the temperature at the array."""
        self._hot = True
        self._board.set_temperature(kelvin)

    def interlock(self, closed: bool) -> None:
        """Open or close the interlock."""
        self._unlocked = not closed
        self._board.set_interlock(closed)

    def error(self, number: int) -> None:
        """Queue an error on all connections."""
        self._board.queue_error(ScpiError(number, "simulated fault"))

    def clear(self) -> None:
        """End every fault; the cells are sound again."""
        if self._cells is not None:
            self._cells.repair()
        hot, unlocked = self._hot, self._unlocked
        self._forget()
        if hot:
            self._board.set_temperature(self._temperature)
        if unlocked:
            self._board.set_interlock(True)
        self._board.fifo_changed()

    def power_cycled(self) -> None:
        """A board that hangs is cured by a power cycle."""
        self._unanswered = 0

    # --- what they do ---

    @property
    def hung(self) -> bool:
        """Whether the board neither acts nor answers."""
        return self._unanswered > 0

    @property
    def refusing(self) -> bool:
        """Whether new connections are refused at the moment."""
        return time.monotonic() < self._refuse_until

    def repeats(self) -> bool:
        """Whether the block before is to be sent instead of the next one."""
        return _use(self._repeats)

    def skips(self) -> bool:
        """Whether the oldest block of the FIFO is to be lost."""
        return _use(self._skips)

    def swallows(self, line: bytes) -> bool:
        """Whether a line is lost on a board that hangs; those that set faults never are."""
        if not self._unanswered or is_for_the_simulator(line):
            return False
        if b"?" in line:
            self._unanswered -= 1
        return True

    def fetched(self, block: memoryview) -> tuple[memoryview, bool]:
        """What the host gets of a block that it fetches, and whether the connection is cut after it."""
        cut = 0 in self._drops
        if cut:
            self._drops.remove(0)
        sent = self._damaged(block)
        self._drops = [max(0, after - 1) for after in self._drops]
        for faults in (self._damages, self._repeats, self._skips):
            _sooner(faults)
        due = [later for later in self._later if later.after == 1]
        self._later = [
            _Later(each.after - 1, each.text, each.begin) for each in self._later if each.after > 1
        ]
        for later in due:
            later.begin()
        return (sent[: len(sent) // 2], True) if cut else (sent, False)

    def fetched_again(self, block: memoryview) -> memoryview:
        """What the host gets of a block that it asks for once more."""
        return self._damaged(block)

    def _damaged(self, block: memoryview) -> memoryview:
        if not _use(self._damages):
            return block
        copy = bytearray(block)
        first = 2 + int(chr(copy[1]))
        at = int(self._rng.integers(8 * first, 8 * (len(copy) - 1)))
        copy[at // 8] ^= 0x80 >> at % 8
        return memoryview(copy)

    def on_the_wire(self, line: bytes, response: list[bytes | memoryview]) -> Iterable[Piece]:
        """The answer to a line as it travels: late, slow, or as it is."""
        if is_for_the_simulator(line) or not (self._delay or self._rate):
            return response
        return _travelling(response, self._delay, self._rate)

    def listing(self) -> str:
        """Every fault there is as the command that sets it, each in quotation marks, with commas between."""
        found = list(self._of_cells())
        found += [f"DROP {after}" for after in self._drops]
        found += [f"CORRupt {each.after},{each.count}" for each in self._damages]
        found += [f"DUPLicate {each.after}" for each in self._repeats]
        found += [f"SKIP {each.after},{each.count}" for each in self._skips]
        if self.refusing:
            found.append(f"REFuse {self._refusal:g}")
        if self.fifo is not None:
            found.append(f"FIFO {self.fifo}")
        if self._rate is not None:
            found.append(f"RATE {self._rate:g}")
        found += [f"ERRor {error.number}" for error in self.first_errors]
        if self._hot:
            found.append(f"TEMPerature {self._board.temperature:g}")
        if self._unlocked:
            found.append("INTerlock 0")
        if self._delay:
            found.append(f"DELay {self._delay:g}")
        if self._unanswered:
            found.append(f"MUTE {self._unanswered}")
        if self.model is not None:
            found.append(f"IDENtity {self.model}")
        found += [f"{each.text} after {each.after} blocks" for each in self._later]
        return ",".join(f'"{each}"' for each in found) or '""'

    def _of_cells(self) -> Iterator[str]:
        if self._cells is None:
            return
        headers = {"short": ("SHORt", ""), "open": ("OPEN", ""), "P": ("STUCk", ",P"), "AP": ("STUCk", ",AP")}
        for cell, kind in self._cells.broken.items():
            header, state = headers[kind]
            row, column = divmod(cell, self._columns)
            yield f"{header} {row},{column}{state}"
        if self._cells.volts_per_hour:
            yield f"DRIFt {self._cells.volts_per_hour:g}"


def is_for_the_simulator(line: bytes) -> bool:
    """Whether a line begins with a command of the simulator's own subsystem."""
    return line.lstrip(b": \t")[:3].upper() == b"SIM"


def _travelling(response: list[bytes | memoryview], delay: float, rate: float | None) -> Iterator[Piece]:
    if delay:
        yield float(delay)
    for piece in response:
        step = len(piece) if rate is None else max(1, int(rate * _SLICE))
        for start in range(0, len(piece), step):
            part = piece[start : start + step]
            yield part
            if rate is not None:
                yield len(part) / rate

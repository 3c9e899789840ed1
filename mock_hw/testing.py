"""What tests need of the simulated laboratory, ours and yours: a lab, a bare connection to it, a canned board.

Nothing here needs a test framework, and nothing of the product uses it.
"""

import contextlib
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Self

from mock_hw._lab import Lab
from mock_hw._lab_file import LabSettings, PaceName

_RESOURCE = re.compile(r"TCPIP\d*::([^:]+)::(\d+)::SOCKET")


def board_lab(
    *,
    seed: int | None = None,
    pace: PaceName | None = None,
    state: str | os.PathLike[str] | None = None,
    faults: Iterable[Mapping[str, object]] = (),
    **box: object,
) -> Lab:
    """A lab of one array board, called `board`, on a free port of this computer; served while it is entered.

    `box` and `faults` are keys of `[boxes.board]` and its tables of faults as docs/simulated-lab.md has them: `rows`,
    `columns`, `device`, `wire`, `temperature`, `limits` …; without them the board has 64 × 64 cells of set C.
    `seed`, `pace` and `state` as for `Lab`. Raises pydantic's ValidationError where a key or value is wrong, `LabError`
    where the lab cannot be had.
    """
    board = {"kind": "array-board", "faults": list(faults), **box}
    return Lab(LabSettings.model_validate({"boxes": {"board": board}}), seed=seed, pace=pace, state=state)


def address_of(resource: str) -> tuple[str, int]:
    """Host and port of the VISA resource of a TCP socket; raises ValueError where it is another."""
    found = _RESOURCE.fullmatch(resource)
    if found is None:
        raise ValueError(f"{resource} is no TCP socket")
    return found[1], int(found[2])


class BoardClient:
    """One connection to a board by a bare socket, so that no driver decides what is said; a context manager.

    `board` is a served `Lab` (its box `board`) or a VISA resource. Whatever takes longer than `timeout` seconds, or
    than a method's own limit, raises TimeoutError; all limits are multiplied by `slowness`, for a busy machine.
    """

    def __init__(self, board: Lab | str, *, timeout: float = 60.0, slowness: float = 1.0) -> None:
        self.resource = board.resources["board"] if isinstance(board, Lab) else board
        self._slowness = slowness
        self.socket = socket.create_connection(address_of(self.resource), timeout=timeout * slowness)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._file.close()
        self.socket.close()

    def send(self, message: str | bytes) -> None:
        """Send a line; bytes go as they are, without a line feed."""
        self.socket.sendall(message if isinstance(message, bytes) else message.encode("ascii") + b"\n")

    def send_block(self, header: str, payload: bytes) -> None:
        """Send a command with a definite-length block."""
        size = str(len(payload)).encode()
        self.send(b"%s #%d%s%s\n" % (header.encode(), len(size), size, payload))

    def line(self) -> str:
        """The next line of the board; raises EOFError where it has closed the connection."""
        answer = self._file.readline()
        if not answer.endswith(b"\n"):
            raise EOFError(f"the board closed the connection after {answer!r}")
        return answer[:-1].decode("ascii")

    def ask(self, message: str) -> str:
        """Send a line and give the answer."""
        self.send(message)
        return self.line()

    def block(self, message: str) -> bytes:
        """Send a line and give the payload of the definite-length block that answers it."""
        self.send(message)
        assert self._file.read(1) == b"#"
        size = int(self._file.read(int(self._file.read(1))))
        payload = self._file.read(size)
        assert self._file.read(1) == b"\n"
        return payload

    def error(self) -> int:
        """Number of the oldest error in the queue, which leaves it; 0: none."""
        return int(self.ask("SYST:ERR?").split(",")[0])

    def errors(self, message: str | bytes) -> list[int]:
        """Numbers of all errors that a message without an answer causes."""
        self.send(message)
        return list(iter(self.error, 0))

    def output_is_on(self) -> bool:
        """Whether pulses and read voltage reach the array."""
        return self.ask("OUTP?") == "1"

    def wait_for_output(self, on: bool, seconds: float = 30.0) -> None:
        """Wait until the output is on, or off."""
        deadline = time.monotonic() + seconds * self._slowness
        while self.output_is_on() is not on:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the output is not {'on' if on else 'off'} after {seconds:g} s")
            time.sleep(0.01)


Say = Callable[[bytes], bytes | None]
"""What a canned board answers to a question; None: nothing at all, not even the mark."""

# What our driver says around a question: two numbers that come before the answer, and one to come behind a text.
_MARK = re.compile(rb"\*ESE (\d+);\*ESE\?;\*ESE (\d+);\*ESE\?;\*ESE (\d+);(.*?)(;\*ESE\?)?")


@contextlib.contextmanager
def canned_board(say: Say, *, marked: bool = True) -> Iterator[str]:
    """Serve a board of few words on a free port until the context is left; gives its resource.

    `say` gets a question without the driver's mark and returns the whole answer, to go behind the mark as it is (None:
    nothing is sent, not even the mark; empty: the board refuses, so that the mark comes alone; a text without its line
    feed comes without its end). Where it is not `marked`, `say` gets whole lines and its answers are sent as they are.
    One connection is served at a time.
    """
    wires: list[socket.socket] = []

    def answer(line: bytes) -> bytes:
        return _behind_the_mark(line, say) if marked else say(line) or b""

    def talk(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                wires.append(server.accept()[0])
                wires[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with wires[-1] as wire, wire.makefile("rb") as lines:
                    for line in lines:
                        wire.sendall(answer(line.strip()))

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=talk, args=(server,), daemon=True)
        thread.start()
        try:
            yield f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"
        finally:
            for end in (server, *wires):  # closing alone does not end what waits in `accept`
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            assert not thread.is_alive()


def _behind_the_mark(line: bytes, say: Say) -> bytes:
    mark = _MARK.fullmatch(line)
    answer = say(mark[4] if mark else line)
    if answer is None:
        return b""
    if mark is None:
        return answer
    if mark[5]:  # behind a text comes what `*ESE` holds
        end = b"" if answer and not answer.endswith(b"\n") else mark[3]
        answer = b";".join(part for part in (answer.rstrip(b"\n"), end) if part) + b"\n"
    return mark[1] + b";" + mark[2] + (b";" + answer if answer else b"\n")

"""A simulated lab in this process, bench files for it, and a wire that tampers with what passes over it."""

import contextlib
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import instruments
from entropy import Store
from mock_hw import Lab
from mock_hw.testing import BoardClient, address_of, board_lab

EXAMPLE = Path(instruments.__file__).with_name("example_bench.toml")
ROWS, COLUMNS = 32, 40


@pytest.fixture
def lab() -> Iterator[Lab]:
    with board_lab(rows=ROWS, columns=COLUMNS, seed=5) as lab:
        yield lab


@pytest.fixture
def resource(lab: Lab) -> str:
    return lab.resources["board"]


@pytest.fixture
def wire(lab: Lab, patience: Callable[[float], float]) -> Iterator[BoardClient]:
    """A second connection to the board."""
    with BoardClient(lab, timeout=5, slowness=patience(1)) as wire:
        yield wire


@pytest.fixture
def write_bench(tmp_path: Path, patience: Callable[[float], float]) -> Callable[..., Path]:
    """Write the example bench file with another resource and other lines: `write_bench(resource, old=new)`.

    The lab is in this process, so where the machine is slow the board is, too: its time-out is scaled.
    """

    def write(resource: str, *changes: tuple[str, str], name: str = "bench.toml") -> Path:
        text = EXAMPLE.read_text("utf-8")
        size = [("rows = 64", f"rows = {ROWS}"), ("columns = 64", f"columns = {COLUMNS}")]
        for old, new in [("TCPIP::127.0.0.1::5025::SOCKET", resource), *size, *changes]:
            assert old in text, old
            text = text.replace(old, new)
        if "options" not in text:
            scaled = f"options = {{ timeout = {round(1000 * patience(2))} }}"
            text = text.replace('driver = "ArrayBoard"\n', f'driver = "ArrayBoard"\n{scaled}\n')
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def bench_file(resource: str, write_bench: Callable[..., Path]) -> Path:
    return write_bench(resource)


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[[], np.ndarray]:
    """Give the block rows of the only buffer of `store`, every block checked and every account added up.

    None of its bits has been used: those of healthy blocks are free, the others withheld.
    """

    def rows_of() -> np.ndarray:
        with Store(tmp_path / "store") as store:
            (buffer,) = store.buffers()
            report, accounts = store.verify(), store.accounts()
            rows = store.rows(buffer.uuid)
        assert report.ok, report.problems
        assert accounts.balanced
        assert accounts.recorded == rows["bits"].sum() == report.bits
        assert accounts.free == rows["bits"][rows["health"] == 0].sum()
        assert accounts.withheld == rows["bits"][rows["health"] != 0].sum()
        return rows

    return rows_of


Hook = Callable[[int, bytes], list[bytes]]


@pytest.fixture
def tampered(resource: str) -> Iterator[Callable[[Hook], str]]:
    """Serve the board over a wire that passes each fetched block through a hook.

    The hook gets the number of the block and its bytes, and returns what the host receives for it: several
    answers are given one after the other, none means that the next block is fetched instead.
    """
    closing = contextlib.ExitStack()

    def serve(hook: Hook) -> str:
        server = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=_tamper, args=(server, address_of(resource), hook), daemon=True)
        thread.start()
        closing.callback(thread.join, 5)
        closing.callback(_shut, server)
        return f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"

    with closing:
        yield serve


def _shut(server: socket.socket) -> None:
    """End what waits in `accept`: closing alone does not."""
    with contextlib.suppress(OSError):
        server.shutdown(socket.SHUT_RDWR)


def _tamper(server: socket.socket, target: tuple[str, int], hook: Hook) -> None:
    with contextlib.suppress(OSError):
        while True:
            client = server.accept()[0]
            threading.Thread(target=_tamper_one, args=(client, target, hook), daemon=True).start()


# Before a question its mark: two numbers that the board says before its answer.
_LINE = re.compile(rb"(?:\*ESE (\d+);\*ESE\?;\*ESE (\d+);\*ESE\?;\*ESE \d+;)?(.*\?)")


def _tamper_one(client: socket.socket, target: tuple[str, int], hook: Hook) -> None:
    with client, socket.create_connection(target) as board, contextlib.suppress(OSError):
        for end in (client, board):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = board.makefile("rb")
        waiting: list[bytes] = []
        number = 0
        while data := client.recv(1 << 20):
            for line in data.splitlines() if data.endswith(b"?\n") else [data[:-1]]:
                question = _LINE.fullmatch(line)
                if question is None or question[3] != b"FETC?":
                    board.sendall(line + b"\n")
                    if question is not None:
                        blocks = question[3] in (b"FETC:AGA?", b"ARR:TRIM?")
                        client.sendall(_block(answers) if blocks else answers.readline())
                    continue
                mark = b"%s;%s;" % (question[1], question[2])
                while not waiting:
                    board.sendall(line + b"\n")
                    answer = _block(answers).removeprefix(mark)
                    if answer == b"#10\n":
                        waiting = [answer]
                        break
                    waiting = hook(number, answer)
                    number += 1
                answer = waiting.pop(0)
                if not answer:
                    return  # the wire is cut
                client.sendall(mark + answer)


def _block(answers) -> bytes:
    head = b""
    while not head.endswith(b"#"):
        head += answers.read(1)
    head += answers.read(1)
    digits = answers.read(int(head[-1:]))
    return head + digits + answers.read(int(digits) + 1)


@pytest.fixture
def no_thread_is_left(wait_until: Callable) -> Callable[[], None]:
    """Wait until the threads of a recording have ended."""

    def ended() -> bool:
        return not any(each.name.startswith(("block ", "Worker")) for each in threading.enumerate())

    return lambda: wait_until(ended, 3, "a thread is left")

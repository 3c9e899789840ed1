"""A simulated lab in this process, bench files for it, and a wire that tampers with what passes over it."""

import contextlib
import csv
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import instruments
from entropy import Store
from entropy.testing import sound_accounts
from instruments import Bench, BenchError, run
from instruments.procedures import RecordBits
from mock_hw import Lab
from mock_hw.testing import BoardClient, address_of, board_lab

EXAMPLE = Path(instruments.__file__).with_name("example_bench.toml")
ROWS, COLUMNS = 32, 40
BLOCK = ROWS * COLUMNS * 200


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
    """Write the example bench file with another resource and other lines: `write_bench(resource, (old, new))`.

    The lab is in this process, so where the machine is slow the board is, too: its time-out, in seconds, is scaled.
    """

    def write(
        resource: str,
        *changes: tuple[str, str],
        rows: int = ROWS,
        columns: int = COLUMNS,
        timeout: float = 2.0,
    ) -> Path:
        text = EXAMPLE.read_text("utf-8")
        size = [("rows = 64", f"rows = {rows}"), ("columns = 64", f"columns = {columns}")]
        for old, new in [("TCPIP::127.0.0.1::5025::SOCKET", resource), *size, *changes]:
            assert old in text, old
            text = text.replace(old, new)
        text += f"\n[instruments.board.options]\ntimeout = {1000 * patience(timeout):.0f}\n"
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def bench_file(resource: str, write_bench: Callable[..., Path]) -> Path:
    return write_bench(resource)


class Enough(KeyboardInterrupt):
    """The test has seen enough of a recording without an end."""


Look = Callable[[RecordBits], object]
"""What looks at a recording now and then."""


def nothing(_: RecordBits) -> None:
    """See nothing in a recording."""


@pytest.fixture
def record(request: pytest.FixtureRequest, bench_file: Path, tmp_path: Path) -> Callable[..., RecordBits]:
    """Record into `store` and `rows.csv` until all is there, or `look` has seen enough; gives the procedure.

    `look` gets the procedure about ten times a second. A toggle without an end of an array that is not trimmed, unless
    `parameters` or those of the test's module, `RECORDING`, say otherwise.
    """
    common = {"mode": "toggle", "bits": 0, "block_bits": BLOCK, "calibrate": False}
    common |= getattr(request.module, "RECORDING", {})

    def until(
        look: Look = nothing, path: Path = bench_file, folder: Path = tmp_path, **parameters: Any
    ) -> RecordBits:
        with Bench.from_toml(path) as bench, Store(folder / "store") as store:
            procedure = RecordBits(bench=bench, store=store, **common | parameters)
            with contextlib.suppress(Enough):
                run(procedure, folder / "rows.csv", lambda progress: look(procedure))
        return procedure

    return until


@pytest.fixture
def recorded(lab: Lab, tmp_path: Path) -> Callable[[], np.ndarray]:
    """Give the block rows of the only buffer of `store`, every block checked and every account added up.

    None of its bits has been used: those of healthy blocks are free, the others withheld. And the output is off.
    """

    def rows_of() -> np.ndarray:
        assert not lab.boxes["board"].output
        with Store(tmp_path / "store") as store:
            accounts, (buffer,) = sound_accounts(store), store.buffers()
            rows = store.rows(buffer.uuid)
        assert accounts.recorded == rows["bits"].sum()
        assert accounts.free == rows["bits"][rows["health"] == 0].sum()
        assert accounts.withheld == rows["bits"][rows["health"] != 0].sum()
        return rows

    return rows_of


def table(folder: Path) -> list[dict[str, str]]:
    """The rows of a recording's table of results."""
    lines = (folder / "rows.csv").read_text().splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def wrong(path: Path) -> dict[str, str]:
    """What the check of a bench finds wrong: subjects, and what it says of each."""
    return {each.subject: each.detail for each in Bench.from_toml(path).check() if not each.ok}


def is_refused(path: Path, said: str) -> None:
    """A bench is not opened, with a sentence."""
    with pytest.raises(BenchError, match=said):
        Bench.from_toml(path).__enter__()


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

"""A simulated lab in this process, a bench file for it, and the command line as a user runs it, here or in its own."""

import contextlib
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mock_hw
from entropy import Store
from memtj._example_bench import example_bench

ROWS, COLUMNS = 16, 64


def bench_of(resource: str) -> str:
    """The example bench file for a lab of these tests."""
    return example_bench(resource).replace("rows = 64", f"rows = {ROWS}")


class Lab:
    """A served lab; `ask` queries its board over a connection of its own."""

    def __init__(self, resource: str, patience: Callable[[float], float]) -> None:
        self.resource = resource
        self._patience = patience
        found = re.fullmatch(r"TCPIP\d*::([\d.]+)::(\d+)::SOCKET", resource)
        assert found is not None
        self.address = found[1], int(found[2])

    def ask(self, query: str) -> str:
        with socket.create_connection(self.address, timeout=self._patience(5)) as wire:
            wire.sendall(query.encode() + b"\n")
            with wire.makefile() as answers:
                return answers.readline().strip()

    def output_is_on(self) -> bool:
        return self.ask("OUTP?") == "1"

    def wait_for_output(self, on: bool, seconds: float = 30) -> None:
        deadline = time.monotonic() + self._patience(seconds)
        while self.output_is_on() is not on:
            assert time.monotonic() < deadline, f"the output is not {'on' if on else 'off'} after {seconds} s"
            time.sleep(0.02)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "memtj", *map(str, arguments)]


@pytest.fixture(scope="session")
def memtj(patience: Callable[[float], float]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a `memtj` command to its end in a process of its own: seconds of imports, so once for each command."""

    def run(*arguments: object, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=patience(timeout))

    return run


@pytest.fixture(scope="session")
def memtj_here() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a `memtj` command in this process, which saves the seconds of its imports."""
    from memtj._cli import run

    def call(*arguments: object) -> "subprocess.CompletedProcess[str]":
        out, err = io.StringIO(), io.StringIO()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = run([str(item) for item in arguments])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return subprocess.CompletedProcess(command(*arguments), status, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def meanwhile(memtj_here: Callable) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a command in this process while a thread acts: `meanwhile(act, "record", ...)`.

    What the thread raises interrupts the command, and is raised.
    """

    def run(act: Callable[[], None], *arguments: object) -> "subprocess.CompletedProcess[str]":
        def acting() -> None:
            try:
                act()
            except BaseException:
                signal.raise_signal(signal.SIGINT)
                raise

        with ThreadPoolExecutor(1) as thread:
            acted = thread.submit(acting)
            done = memtj_here(*arguments)
            acted.result()
        return done

    return run


@pytest.fixture
def start() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a `memtj` command that is killed at the end of the test, if it still runs then."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@contextlib.contextmanager
def small_lab(patience: Callable[[float], float]) -> Iterator[Lab]:
    """Serve a lab from this process, in hundredths of a second; its array is small, to be measured fast."""
    board = {"kind": "array-board", "rows": ROWS, "columns": COLUMNS}
    with mock_hw.Lab(mock_hw.LabSettings.model_validate({"boxes": {"board": board}}), seed=7) as lab:
        yield Lab(lab.resources["board"], patience)


@pytest.fixture
def lab(patience: Callable[[float], float]) -> Iterator[Lab]:
    with small_lab(patience) as lab:
        yield lab


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Path:
    file = tmp_path / "bench.toml"
    file.write_text(bench_of(lab.resource), encoding="utf-8")
    return file


@pytest.fixture
def recorded(wait_until: Callable) -> Callable[[Path, int], None]:
    """Wait until a store has so many bits."""

    def wait(store: Path, bits: int) -> None:
        wait_until((store / "ledger.sqlite").exists, 30, "no store is made")
        with Store(store, create=False) as opened:
            wait_until(lambda: opened.accounts().recorded >= bits, 30, f"fewer than {bits} bits are recorded")

    return wait


posix_only = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")

"""A simulated lab in this process, a bench file for it, and the command line as a user runs it, here or in its own."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from entropy import Store
from entropy.testing import sound_accounts
from memtj._example_bench import example_bench
from mock_hw.testing import BoardClient, board_lab

ROWS, COLUMNS = 16, 64


def bench_of(resource: str) -> str:
    """The example bench file for a lab of these tests."""
    return example_bench(resource).replace("rows = 64", f"rows = {ROWS}")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "memtj", *map(str, arguments)]


class Done(subprocess.CompletedProcess[str]):
    """A command that came to its end."""

    @property
    def sentence(self) -> str:
        """The last line of its standard error: one of our own sentences, and no traceback before it."""
        assert "Traceback" not in self.stderr
        last = self.stderr.strip().splitlines()[-1]
        assert last.startswith("memtj: ")
        assert "unexpected" not in last
        return last

    @property
    def errors(self) -> str:
        """Its standard error as running text, out of the frames that typer draws."""
        return " ".join(self.stderr.replace("│", " ").split())

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.stdout)


def done_with(status: int | None, *of: Any) -> Done:
    """Say what a command left; `status`: the exit status that it must have, where a test says which."""
    done = Done(*of)
    assert status in (None, done.returncode), done.stdout + done.stderr
    return done


@pytest.fixture(scope="session")
def memtj(patience: Callable[[float], float]) -> Callable[..., Done]:
    """Run a `memtj` command to its end in a process of its own: seconds of imports, so once for each command."""

    def run(*arguments: object, timeout: float = 60, status: int | None = None) -> Done:
        done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=patience(timeout))
        return done_with(status, done.args, done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture(scope="session")
def memtj_here() -> Callable[..., Done]:
    """Run a `memtj` command in this process, which saves the seconds of its imports."""
    from memtj._cli import run

    def call(*arguments: object, status: int | None = None) -> Done:
        out, err = io.StringIO(), io.StringIO()
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        unraisable = sys.unraisablehook
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                ended = run([str(item) for item in arguments])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            sys.unraisablehook = unraisable
        return done_with(status, command(*arguments), ended, out.getvalue(), err.getvalue())

    return call


@pytest.fixture
def meanwhile(memtj_here: Callable) -> Callable[..., Done]:
    """Run a command in this process while a thread acts: `meanwhile(act, "record", ...)`.

    What the thread raises interrupts the command, and is raised.
    """

    def run(act: Callable[[], None], *arguments: object, status: int | None = None) -> Done:
        def acting() -> None:
            try:
                act()
            except BaseException:
                signal.raise_signal(signal.SIGINT)
                raise

        with ThreadPoolExecutor(1) as thread:
            acted = thread.submit(acting)
            done = memtj_here(*arguments, status=status)
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


@pytest.fixture
def end(patience: Callable[[float], float]) -> Callable[..., Done]:
    """Send a started command a signal, if any, and wait for its end without a traceback: `end(process, SIGINT)`."""

    def wait(
        process: "subprocess.Popen[str]", number: int | None, timeout: float = 30, status: int | None = None
    ) -> Done:
        if number is not None:
            process.send_signal(number)
        out, errors = process.communicate(timeout=patience(timeout))
        assert "Traceback" not in errors
        return done_with(status, process.args, process.returncode, out, errors)

    return wait


@contextlib.contextmanager
def small_lab(patience: Callable[[float], float]) -> Iterator[BoardClient]:
    """Serve a lab from this process, in hundredths of a second; its array is small, to be measured fast."""
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7) as lab:
        with BoardClient(lab, timeout=5, slowness=patience(1)) as client:
            yield client


@pytest.fixture
def lab(patience: Callable[[float], float]) -> Iterator[BoardClient]:
    with small_lab(patience) as lab:
        yield lab


@pytest.fixture
def bench(lab: BoardClient, tmp_path: Path) -> Path:
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


def all_free(store: Path) -> int:
    """How many bits a store at rest has, of which none was taken and all are sound."""
    accounts = sound_accounts(store)
    assert accounts.recorded == accounts.free
    return accounts.recorded


posix_only = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")

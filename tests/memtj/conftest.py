"""A simulated lab in a process of its own, a bench file for it, and the command line as a user runs it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memtj._example_bench import example_bench


class Lab:
    """A `memtj lab` process; `ask` queries its board over a connection of its own."""

    def __init__(self, process: "subprocess.Popen[str]", ready: dict[str, Any]) -> None:
        self.process = process
        self.resource: str = ready["resources"]["board"]
        found = re.fullmatch(r"TCPIP\d*::([\d.]+)::(\d+)::SOCKET", self.resource)
        assert found is not None
        self.address = found[1], int(found[2])

    def ask(self, query: str) -> str:
        with socket.create_connection(self.address, timeout=5) as wire:
            wire.sendall(query.encode() + b"\n")
            return wire.makefile().readline().strip()

    def output_is_on(self) -> bool:
        return self.ask("OUTP?") == "1"

    def wait_for_output(self, on: bool, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while self.output_is_on() is not on:
            assert time.monotonic() < deadline, f"the output is not {'on' if on else 'off'} after {seconds} s"
            time.sleep(0.02)


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "memtj", *map(str, arguments)]


@pytest.fixture(scope="session")
def memtj() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Run a `memtj` command to its end."""

    def run(*arguments: object, timeout: float = 100) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=timeout)

    return run


@pytest.fixture
def memtj_here(
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., "subprocess.CompletedProcess[str]"]]:
    """Run a `memtj` command in this process, which saves the seconds of its imports."""
    from memtj._cli import run

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*arguments: object) -> "subprocess.CompletedProcess[str]":
        capsys.readouterr()
        status = run([str(item) for item in arguments])
        return subprocess.CompletedProcess(arguments, status, *capsys.readouterr())

    yield call
    for number, handler in before.items():
        signal.signal(number, handler)


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


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    process = subprocess.Popen(
        command("lab", "--json", "--seed", 7), stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield Lab(process, json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def bench(lab: Lab, tmp_path: Path) -> Path:
    file = tmp_path / "bench.toml"
    file.write_text(example_bench(lab.resource), encoding="utf-8")
    return file


posix_only = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")

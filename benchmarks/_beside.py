"""Commands that compute with torch, beside busy processes, against the same ones with one thread.

`python -m benchmarks.sampling --beside N [--commands sample,train …]`. Each round runs every command twice, who goes
first alternates, and each run is a process of its own, timed from its start to its end. Only the ratios mean anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PLAN = """
name = "beside"
key = 1
pictures = 50
steps = {steps}
microbatch = 16
margin = 5.0
[[arms]]
name = "software"
group = "baseline"
source = {{ kind = "software" }}
[[arms]]
name = "biased"
group = "bias"
parameter = 0.52
source = {{ kind = "biased", p = 0.52 }}
"""
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"
COMMANDS = ("sample", "replay", "train", "compare", "demo")
_SAME = ("sample", "replay")  # their pictures do not depend on the run


@dataclass(frozen=True)
class Beside:
    """A command's seconds as it comes and with OMP_NUM_THREADS=1, round by round, and whether both made the same."""

    command: str
    threads: list[float]
    one: list[float]
    equal: bool | None

    @property
    def ratio(self) -> float:
        """As it comes over one thread: the medians of all rounds."""
        return statistics.median(self.threads) / statistics.median(self.one)


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Keep so many processors busy."""
    running = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def _arguments(command: str, out: Path, pictures: int, steps: int, one: bool) -> list[str]:
    if command == "train":
        return ["train", str(out), "--steps", str(steps), "--seed", "0"]
    if command == "compare":
        plan = out.with_suffix(".toml")
        plan.write_text(_PLAN.format(steps=max(1, steps // 5)), encoding="utf-8")
        return ["compare", str(plan), "--out", str(out)]
    if command == "replay":  # of what the same command line, with as many threads, has drawn
        _run(_arguments("sample", out, pictures, steps, one), one)
        return ["replay", *map(str, sorted((out / "pictures").glob("*.png")))]
    drawing = ["--out", str(out), "--images", str(pictures), "--steps", str(steps)]
    return [command, *drawing, *(["--source", "software"] if command == "sample" else ["--seed", "1"])]


def _digest(folder: Path) -> str:
    """The hash of all the pixels that a command has drawn."""
    from sampler import load_pixels

    found = hashlib.sha256()
    for picture in sorted((folder / "pictures").glob("*.png")):
        found.update(load_pixels(picture).tobytes())
    return found.hexdigest()


def _run(arguments: Sequence[str], one: bool) -> float:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "memtj", *arguments],
        env={**environment, **({"OMP_NUM_THREADS": "1"} if one else {})},
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def measure(command: str, rounds: int, pictures: int, steps: int) -> Beside:
    """Run a command `rounds` times each way."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    drawn: dict[bool, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for one in (False, True) if number % 2 else (True, False):
                out = Path(folder) / f"{number}-{one}"
                seconds[one].append(_run(_arguments(command, out, pictures, steps, one), one))
                drawn[one] = _digest(out) if command in _SAME else ""
    equal = drawn[False] == drawn[True] if command in _SAME else None
    return Beside(command, seconds[False], seconds[True], equal)


def table(beside: int, commands: Sequence[str], rounds: int, pictures: int, steps: int) -> list[Beside]:
    """Measure the commands beside busy processes and print the ratios."""
    print(f"{pictures} pictures, {steps} steps, beside {beside} busy processes, {os.cpu_count()} processors")
    print(f"{'command':>10} {'threads, s':>11} {'one, s':>9} {'ratio':>7}   (asked: at most 1.2)")
    measured = []
    with busy(beside):
        for command in commands:
            found = measure(command, rounds, pictures, steps)
            threads, one = statistics.median(found.threads), statistics.median(found.one)
            same = {None: "", True: "  pictures equal", False: "  PICTURES DIFFER"}[found.equal]
            print(f"{command:>10} {threads:>11.2f} {one:>9.2f} {found.ratio:>7.3f}{same}", flush=True)
            measured.append(found)
    return measured

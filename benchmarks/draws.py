"""What one step of draws costs over the wire, and what a pulse table costs beside trims.

`python -m benchmarks.draws [--side 224] [--json FILE]`: a table of 8-bit codes is set in a simulated board of set C,
and one pulse drawn from what is stored (flip), held at −0.5 V, all over a TCP socket. By the clock, and by the
processor time of host and board together, which does not ask what else the computer does. Parts are measured apart, in
memory; what is left of a step is commands, wire and fetch. The least of several.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from drivers.array_board import _settings as driver_settings
from instruments.array import BoardArray, Trims, WorkingPoint
from instruments.bench import Bench
from memtj._example_bench import example_bench
from mock_hw._array import Run, stream_words
from mock_hw.boxes.array_board import TABLE, Session
from mock_hw.testing import board_lab

POINT = WorkingPoint("reset", 0.9, 0.58e-9, 6e-9, 1.0, 0.6e-9, 0.1, 1e-6)
GOAL = 86.0  # ms of a step of 224 × 224 cells: half of what it was before draws had laws of their own


def times(do: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds by the clock, and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    do()
    return 1e3 * (time.perf_counter() - clock), 1e3 * (time.process_time() - processor)


def least(do: Callable[[], object], repeats: int) -> float:
    """Milliseconds of the processor, the least of several."""
    return min(times(do)[1] for _ in range(repeats))


def bench_file(folder: Path, resource: str, side: int) -> Path:
    """A bench for the board, which may hold."""
    text = example_bench(resource).replace("duty = 0.5", "hold_voltage = 0.6\nduty = 0.5")
    path = folder / "bench.toml"
    path.write_text(
        text.replace("rows = 64", f"rows = {side}").replace("columns = 64", f"columns = {side}"), "utf-8"
    )
    return path


class Step:
    """The parts of a step, each to be run again and again."""

    def __init__(self, array: BoardArray, board: Any, side: int) -> None:
        rng = np.random.default_rng(1)
        self.array, self.board = array, board
        self.codes, self._shape = rng.integers(0, 256, side * side), (side, side)
        self.volts = rng.uniform(-0.1, 0.1, (64, *self._shape)).astype(np.float32)
        self._session = Session(board, TABLE)
        self._turn = 0

    def whole(self) -> None:
        """A table, and one pulse."""
        self.table()
        self.array.draw_once("flip")

    def table(self) -> None:
        """A table alone."""
        self.array.set_pulse_table(self.codes)

    def encode(self) -> bytes:
        """What the driver makes of a table."""
        return driver_settings.pulse_codes(self.codes.reshape(self._shape), self._shape, 8).tobytes()

    def parse(self) -> None:
        """What the board does with the bytes of one, its rules included."""
        content = self.encode()
        size = str(len(content)).encode()
        with self.board.changed:
            owner, self.board.owner = self.board.owner, self._session
        for _ in self._session.feed(b"ARR:CODE #%d%s%s\n" % (len(size), size, content)):
            pass
        with self.board.changed:
            self.board.owner = owner
        assert self._session.status.errors == 0

    def trims(self) -> None:
        """Set volts for each cell as trims, others each time."""
        self._turn = (self._turn + 1) % len(self.volts)
        self.array.set_trims(Trims(self.volts[self._turn].ravel(), 0.0, self.volts[self._turn].ravel()))

    def still(self) -> None:
        """Wait until the board has ended what it did."""
        with self.board.changed:
            self.board.wait_until_still()

    def begin(self) -> Run:
        """What the board does before a pulse: a moment's rest, the laws."""
        array, board = self.board.array, self.board
        sequence = board.settings.sequence(300.0, True)
        array.rest(1e-3, hold=sequence.hold, nearly=True)
        return Run(array, sequence, once=True)

    def pulse(self, run: Run) -> None:
        """The pulse, and what it leaves in the array."""
        out, valid = (np.zeros(stream_words(run.cells), np.uint64) for _ in range(2))
        run.bits(1, out, valid)
        run.end()


def measure(side: int, repeats: int) -> dict[str, float]:
    """All parts of a step in one run; times in ms."""
    with tempfile.TemporaryDirectory() as folder, board_lab(rows=side, columns=side, seed=1) as lab:
        with Bench.from_toml(bench_file(Path(folder), lab.resources["board"], side)) as bench:
            array = BoardArray(bench, POINT)
            array.set_working_point(POINT)
            array.set_thresholds(np.full(side * side, 125e3))
            array.set_dac_range(0.35, 1.1)
            array.switch_on(60.0)
            array.hold(-0.5)
            step = Step(array, lab.boxes["board"], side)
            step.whole()
            ways = {"step": step.whole, "table": step.table, "trims": step.trims}
            seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for _ in range(repeats):  # in turn, so that what else the computer does falls on all
                for name, do in ways.items():
                    step.still()  # what a step leaves behind is not the table's
                    seen[name].append(times(do))
            result = {name: min(processor for _, processor in each) for name, each in seen.items()}
            result |= {f"{name}_clock": min(clock for clock, _ in each) for name, each in seen.items()}
            step.whole()
            step.still()
            result |= {"encode": least(step.encode, repeats), "parse": least(step.parse, repeats)}
            result["laws"] = least(step.begin, repeats)
            runs = [step.begin() for _ in range(repeats)]
            result["pulse"] = min(times(lambda run=run: step.pulse(run))[1] for run in runs)
        result["rest"] = result["step"] - sum(result[part] for part in ("encode", "parse", "laws", "pulse"))
        result |= {"table_bytes": float(side * side), "trim_bytes": 4.0 * side * side}
        result["bytes_ratio"] = result["table_bytes"] / result["trim_bytes"]
        result["time_ratio"] = result["table"] / result["trims"]
        result["clock_ratio"] = result["table_clock"] / result["trims_clock"]
    return result


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = measure(options.side, options.repeats)
    print(f"{options.side} × {options.side} cells, the least of {options.repeats}, ms")
    for name, what in (
        ("step_clock", f"a step: table and one pulse, by the clock (asked at 224 × 224: at most {GOAL:g})"),
        ("step", "  its processor time, of which"),
        ("encode", "    encoding the table"),
        ("parse", "    the board's reading and checking of it"),
        ("laws", "    rest and laws of the cells"),
        ("pulse", "    drawing, and what it leaves in the array"),
        ("rest", "    commands, wire and fetch"),
        ("table_clock", "a pulse table, by the clock"),
        ("table", "  its processor time"),
        ("trims_clock", "trims of the same cells, by the clock"),
        ("trims", "  their processor time"),
    ):
        print(f"{found[name]:>9.2f}  {what}")
    print(f"{found['bytes_ratio']:>9.2f}  bytes of a table over those of trims (asked: at most 0.26)")
    print(f"{found['time_ratio']:>9.2f}  processor time of a table over that of trims")
    print(f"{found['clock_ratio']:>9.2f}  the same by the clock (asked: at most 0.6)")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

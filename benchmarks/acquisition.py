"""The path of the bits, part by part and as a whole, in one run.

`python -m benchmarks.acquisition [--json FILE] [--rounds N] [--beside N] [--against CHECKOUT]`: raw socket, VISA block
read, plain `query_binary_values`, HDF5 append, the board's own bit generation (one thread), and the whole path mock →
VISA → driver → HDF5, each in bits per second of 1 MiB blocks; medians over rounds in which every part has its turn.
`--beside` keeps so many other processes busy meanwhile. With `--against` the whole path alone, in this checkout and in
another one in turn, in processes of their own; so many pairs. Only the ratios mean anything.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyvisa

import instruments
import mock_hw
from benchmarks._beside import busy
from benchmarks._lab import lab
from benchmarks._python import python
from drivers import ArrayBoard
from entropy import Store
from entropy.testing import append_bits, start_recording
from instruments.procedures import RecordBits
from memtj._example_bench import example_bench
from mock_hw._array import Run

BITS = 1 << 23  # of one block
CELLS = 4096
BLOCKS = 48  # of one measurement
PLAIN_BLOCKS = 3  # the plain query is slow
WHOLE_BLOCKS = 256  # so that making files and starting the board, which the parts leave out too, weigh little


def _rate(blocks: int, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return blocks * BITS / (time.perf_counter() - start)


def raw_socket(port: int) -> float:
    """Read blocks with nothing but a socket."""
    with socket.create_connection(("127.0.0.1", port)) as wire:
        buffer = memoryview(bytearray(BITS // 8))

        def read() -> None:
            for _ in range(BLOCKS):
                wire.sendall(b"RAW?\n")
                at = 0
                while at < len(buffer):
                    at += wire.recv_into(buffer[at:])

        return _rate(BLOCKS, read)


def driver_fetch(port: int) -> float:
    """Fetch blocks through VISA by the driver, CRC and sequence checked."""
    board = ArrayBoard(f"TCPIP::127.0.0.1::{port}::SOCKET", visa_library="@py")
    try:
        return _rate(BLOCKS, lambda: [board.fetch() for _ in range(BLOCKS)])
    finally:
        board.close()


def plain_query(port: int) -> float:
    """Read blocks of random bits by pyvisa's `query_binary_values` with the termination character on.

    Every line feed among the bits (one in 256) ends a read of the wire, which pyvisa then begins again.
    """
    manager = pyvisa.ResourceManager("@py")
    wire: Any = manager.open_resource(
        f"TCPIP::127.0.0.1::{port}::SOCKET", read_termination="\n", write_termination="\n"
    )
    wire.timeout = 20_000
    try:
        return _rate(
            PLAIN_BLOCKS,
            lambda: [
                wire.query_binary_values("PLAIN?", datatype="B", container=np.ndarray)
                for _ in range(PLAIN_BLOCKS)
            ],
        )
    finally:
        wire.close()
        manager.close()


def hdf5_append(folder: Path) -> float:
    """Append blocks to a new store."""
    data = np.random.default_rng(0).integers(0, 256, BITS // 8, np.uint8)
    with Store(folder / f"append-{time.monotonic_ns()}") as store, start_recording(store, CELLS) as recording:
        return _rate(BLOCKS, lambda: [append_bits(recording, data) for _ in range(BLOCKS)])


def generation(toggle: bool) -> float:
    """Let the simulated array make bits in this thread: cells of different probabilities, reading noise folded in."""
    array = mock_hw.SimulatedArray(mock_hw.MacrospinDevice.of("C", CELLS, 1), 64, 64, 1)
    selection = mock_hw.Selection(0, 63, 0, 63)
    whole = (64, 64)
    sequence = mock_hw.Sequence(
        selection=selection, mask=np.ones(whole, bool), toggle=toggle, voltage=np.full(whole, 1.15), width=0.4e-9,
        reset_voltage=1.28, reset_width=0.58e-9, thresholds=np.full(whole, 120e3), read_voltage=0.1, settle=1e-6,
    )  # fmt: skip
    run = Run(array, sequence)
    words = BITS // 64 + 64
    out, valid = np.zeros(words, np.uint64), np.zeros(words, np.uint64)
    run.bits(16, out, valid)

    def make() -> None:
        for _ in range(BLOCKS):
            out[:] = 0
            valid[:] = 0
            run.bits(BITS // CELLS, out, valid)

    return _rate(BLOCKS, make)


def whole_path(bench_file: Path, folder: Path, mode: str) -> float:
    """Record from a simulated lab in its own process into a new store; gives the rate of the blocks."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        instruments.Bench.from_toml(bench_file) as bench,
        Store(Path(place) / "store") as store,
    ):
        procedure = RecordBits(bench=bench, store=store, mode=mode, bits=WHOLE_BLOCKS * BITS)
        summary = instruments.run(procedure, Path(place) / "rows.csv")
    return summary.record_bits_per_s


def recorded_in(checkout: Path, mode: str) -> dict[str, float]:
    """Record in a process of another checkout, from a lab of its own; see `benchmarks._recording_process`."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bench.toml").write_text(example_bench("RESOURCE"), encoding="utf-8")
        answer = subprocess.run(
            [
                *(sys.executable, "-P", str(Path(__file__).with_name("_recording_process.py"))),
                *(folder, mode, str(WHOLE_BLOCKS)),
            ],
            env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
        )
    return json.loads(answer.stdout)


def against(other: Path, rounds: int) -> dict[str, Any]:
    """Record here and there in turn, who goes first alternates; print and give the medians and those of the ratios."""
    ours = Path(__file__).parents[1]
    result: dict[str, Any] = {}
    for mode in ("toggle", "reset"):
        pairs = []
        for number in range(rounds):
            sides = {side: recorded_in(side, mode) for side in ((ours, other), (other, ours))[number % 2]}
            pairs.append((sides[ours], sides[other]))
        result[mode] = _compared(pairs)
        print(f"{mode}, medians of {rounds} pairs{'here':>24}{'there':>12}{'ratio':>8}")
        for name, (here, there, ratio) in result[mode].items():
            print(f"  {name:<30}{here:>12.4g}{there:>12.4g}{ratio:>8.2f}", flush=True)
    print(
        "asked: bits_per_s 3 times in toggle and 2 times in reset; processor_s_per_gbit in toggle at most 0.65;\n"
        "leasable_after_s, from a block's fetch until it can be leased, at most 0.05 here"
    )
    return result


def _compared(
    pairs: list[tuple[dict[str, float], dict[str, float]]],
) -> dict[str, tuple[float, float, float]]:
    both = [tuple({**side, "processor_s_per_gbit": _processor(side)} for side in pair) for pair in pairs]
    return {
        name: (
            statistics.median(here[name] for here, _ in both),
            statistics.median(there[name] for _, there in both),
            statistics.median(here[name] / there[name] for here, there in both),
        )
        for name in both[0][0]
    }


def _processor(side: dict[str, float]) -> float:
    return side["recorder_s_per_gbit"] + side["lab_s_per_gbit"]


def by_parts(rounds: int) -> dict[str, Any]:
    """Measure all parts and the whole path; print a table and give the same numbers."""
    measured: dict[str, list[float]] = {}

    def take(name: str, value: float) -> None:
        measured.setdefault(name, []).append(value)

    with (
        python("-m", "benchmarks._canned_board", str(BITS), str(BLOCKS)) as port,
        lab() as (bench_file, _),
    ):
        folder = bench_file.parent
        for _ in range(rounds):
            take("raw socket", raw_socket(int(port)))
            take("VISA block read (driver)", driver_fetch(int(port)))
            take("plain query_binary_values", plain_query(int(port)))
            take("HDF5 append (store)", hdf5_append(folder))
            for mode in ("toggle", "reset"):
                take(f"board's generation, {mode}", generation(mode == "toggle"))
                take(f"whole path, {mode}", whole_path(bench_file, folder, mode))
    _print(measured)
    return _result(measured)


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--beside", type=int, default=0)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    with busy(options.beside):
        result = against(options.against, options.rounds) if options.against else by_parts(options.rounds)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _result(measured: dict[str, list[float]]) -> dict[str, Any]:
    median = {name: statistics.median(values) for name, values in measured.items()}
    shared = ("raw socket", "VISA block read (driver)", "HDF5 append (store)")
    ratios = {
        f"whole path, {mode}, over its slowest part": statistics.median(
            whole / min(measured[part][n] for part in (*shared, f"board's generation, {mode}"))
            for n, whole in enumerate(measured[f"whole path, {mode}"])
        )
        for mode in ("toggle", "reset")
    }
    ratios["VISA block read over plain query_binary_values"] = statistics.median(
        fast / plain
        for fast, plain in zip(
            measured["VISA block read (driver)"], measured["plain query_binary_values"], strict=True
        )
    )
    return {"bits_per_s": measured, "median_bits_per_s": median, "ratios": ratios}


def _print(measured: dict[str, list[float]]) -> None:
    result = _result(measured)
    slowest = min(result["median_bits_per_s"].values())
    print(f"{'part (1 MiB blocks)':<32}{'Mbit/s':>10}{'MB/s':>10}{'to slowest':>12}")
    for name, rate in result["median_bits_per_s"].items():
        print(f"{name:<32}{rate / 1e6:>10.0f}{rate / 8e6:>10.0f}{rate / slowest:>12.1f}")
    asked = {"whole": "asked: at least 0.4, beside one busy process 0.25", "VISA": "asked: at least 5"}
    for name, ratio in result["ratios"].items():
        print(f"{name}: {ratio:.2f} ({asked[name.split(' ', 1)[0]]})")


if __name__ == "__main__":
    main()

"""The simulated device: how fast its two levels are, and what of it arrives.

`python -m benchmarks.device [--json FILE] [--rounds N]` measures, side by side in one run and as medians over rounds in
which every part has its turn:

- trajectories: cell-steps per second of the kernel on one and two threads, of the same equation in plain float64
  numba, and of `cmtj` where it is installed (extra `reference`);
- the fast path on one thread with the full physics of a recording (spread, drift, wear, retention, reading errors;
  toggle), against numpy doing the same draws, and against the operating system's random bytes;
- the same for an array of 1,024 × 1,024 cells, with the time to build it and its memory;
- bits that the board delivers over the wire to the driver, and through the recorder into HDF5.

Only the ratios mean anything.
"""

import argparse
import contextlib
import importlib
import importlib.util
import json
import os
import resource
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np

import mock_hw
from benchmarks._cmtj import macrospin
from benchmarks._lab import lab
from benchmarks.acquisition import hdf5_append, whole_path
from drivers import ArrayBoard
from mock_hw._array import Run, stream_words
from mock_hw.physics import DeviceParameters, equilibrium, load_device, simulate
from mock_hw.physics._constants import BOLTZMANN, GAMMA
from mock_hw.physics._trajectories import pulse_heights

VOLTAGE, WIDTH, SETTLE = 1.15, 0.4e-9, 1e-9
CELLS = 1 << 15
SLOW_CELLS = 256
REFERENCE_CELLS = 8
ARRAY = 4096
LARGE = 1 << 20
BITS = 1 << 23


@numba.njit(fastmath=True)
def _plain(m, heights, k, x, per_volt, volts, alpha, kick, dt):
    """The same Heun steps as one would write them first: a cell after the other, float64, numpy's normal numbers."""
    for n in range(len(m)):
        mx, my, mz = m[n]
        for height in heights:
            anisotropy = k + per_volt * volts * height
            nx, ny, nz = np.random.normal(), np.random.normal(), np.random.normal()
            ax = ay = az = 0.0
            px, py, pz = mx, my, mz
            for _ in range(2):
                bx, by, bz = x + kick * nx, kick * ny, kick * nz + anisotropy * pz
                cx, cy, cz = py * bz - pz * by, pz * bx - px * bz, px * by - py * bx
                bx, by, bz = bx + alpha * cx, by + alpha * cy, bz + alpha * cz
                sx, sy, sz = pz * by - py * bz, px * bz - pz * bx, py * bx - px * by
                ax, ay, az = ax + 0.5 * sx, ay + 0.5 * sy, az + 0.5 * sz
                px, py, pz = mx + dt * sx, my + dt * sy, mz + dt * sz
            mx, my, mz = mx + dt * ax, my + dt * ay, mz + dt * az
            length = 1.0 / np.sqrt(mx * mx + my * my + mz * mz)
            mx, my, mz = mx * length, my * length, mz * length
        m[n] = mx, my, mz


def kernel(p: DeviceParameters, start: np.ndarray, threads: int) -> float:
    """Cell-steps per second of `mock_hw.physics.simulate`."""
    steps = len(pulse_heights(p, WIDTH, SETTLE, 1e-12))
    begun = time.perf_counter()
    simulate(p, start, voltage=VOLTAGE, width=WIDTH, settle=SETTLE, threads=threads)
    return len(start) * steps / (time.perf_counter() - begun)


def plain_numba(p: DeviceParameters, start: np.ndarray) -> float:
    """Cell-steps per second of the plain loop on one thread."""
    heights = pulse_heights(p, WIDTH, SETTLE, 1e-12).astype(np.float64)
    alpha, dt = p.free_layer.damping, 1e-12
    kick = np.sqrt(2 * alpha * BOLTZMANN * 300 / (GAMMA * p.moment * dt))
    m = start[:SLOW_CELLS].copy()
    begun = time.perf_counter()
    _plain(
        m, heights, p.anisotropy_field, p.field.in_plane, p.anisotropy_per_volt, VOLTAGE, alpha, kick,
        GAMMA * dt / (1 + alpha**2),
    )  # fmt: skip
    return len(m) * len(heights) / (time.perf_counter() - begun)


def reference(p: DeviceParameters) -> float | None:
    """Cell-steps per second of `cmtj` with its stochastic Heun solver, None where it is not installed."""
    if importlib.util.find_spec("cmtj") is None:
        return None
    cmtj = importlib.import_module("cmtj")
    seconds = WIDTH + SETTLE
    vertical = p.model_copy(update={"pulse": p.pulse.model_copy(update={"rise": 0.0, "fall": 0.0})})
    junction = macrospin(cmtj, vertical, VOLTAGE, WIDTH, 300.0, seed=1)
    junction.runSimulation(2e-12, 1e-12, 1e-12, solverMode=cmtj.SolverMode.Heun)
    begun = time.perf_counter()
    for _ in range(REFERENCE_CELLS):
        junction.clearLog()
        junction.runSimulation(seconds, 1e-12, seconds, solverMode=cmtj.SolverMode.Heun)
    return REFERENCE_CELLS * round(seconds / 1e-12) / (time.perf_counter() - begun)


class FastPath:
    """A toggle recording of an array with everything switched on, in this thread."""

    def __init__(self, cells: int, rows: int) -> None:
        whole = (rows, cells // rows)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        begun = time.perf_counter()
        device = mock_hw.MacrospinDevice.of("C", cells, 1)
        array = mock_hw.SimulatedArray(device, *whole, 1)
        self.build_seconds = time.perf_counter() - begun
        self.sequence = mock_hw.Sequence(
            selection=mock_hw.Selection(0, rows - 1, 0, whole[1] - 1), mask=np.ones(whole, bool), toggle=True,
            voltage=np.full(whole, 1.15), width=0.4e-9, reset_voltage=1.28, reset_width=0.58e-9,
            thresholds=np.full(whole, 120e3), read_voltage=0.1, settle=1e-6,
        )  # fmt: skip
        begun = time.perf_counter()
        self.run = Run(array, self.sequence)
        self.begin_seconds = time.perf_counter() - begun
        self.pulses = max(1, BITS // cells)
        self._out = np.zeros(stream_words(self.pulses * cells), np.uint64)
        self._valid = np.zeros_like(self._out)
        self.rate(1)
        self.bytes_per_cell = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / cells

    def rate(self, blocks: int) -> float:
        """Bits per second over some blocks."""
        begun = time.perf_counter()
        for _ in range(blocks):
            self._out[:] = 0
            self.run.bits(self.pulses, self._out, self._valid)
        return blocks * self.pulses * self.run.cells / (time.perf_counter() - begun)

    def refresh_seconds(self) -> float:
        """What it costs to let drift and wear act on every cell's law, once in so many pulses."""
        begun = time.perf_counter()
        self.run._tell_device()
        self.run._refresh()
        return time.perf_counter() - begun


def numpy_path(p: np.ndarray, q: np.ndarray, pulses: int) -> float:
    """The same toggle draws by numpy: a uniform number and a comparison a cell, then `packbits`."""
    rng, state = np.random.default_rng(0), np.zeros(len(p), bool)
    rows = np.empty((pulses, len(p)), bool)
    begun = time.perf_counter()
    for row in rows:
        state ^= rng.random(len(p), np.float32) < np.where(state, q, p)
        row[:] = state
    np.packbits(rows)
    return rows.size / (time.perf_counter() - begun)


def system_bytes() -> float:
    """Bits per second of the operating system's random bytes, a MiB at a time."""
    begun = time.perf_counter()
    for _ in range(16):
        os.urandom(BITS // 8)
    return 16 * BITS / (time.perf_counter() - begun)


def over_the_wire(address: str) -> float:
    """Bits per second that the simulated board delivers to the driver, block by block, nothing written."""
    board: Any = ArrayBoard(address, visa_library="@py")
    blocks = 64
    try:
        board.voltage, board.width, board.read_voltage = 1.15, 0.4e-9, 0.1
        board.mode, board.pulses, board.pulses_per_block = "toggle", blocks * BITS // ARRAY, BITS // ARRAY
        board.watchdog, board.output_enabled = 60, True
        board.start()
        board.fetch()
        begun, bits, last = time.perf_counter(), 0, False
        while not last:
            block = board.fetch()
            assert block is not None
            bits, last = bits + block.positions, block.last
        return bits / (time.perf_counter() - begun)
    finally:
        with contextlib.suppress(Exception):
            board.output_enabled = False
        board.close()


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    p = load_device("C")
    start = equilibrium(p, CELLS, antiparallel=False)
    small, large = FastPath(ARRAY, 64), FastPath(LARGE, 1024)
    device, volts = small.run._array.device, small.sequence.voltage.ravel()
    laws = [device.switching_probability(volts, 0.4e-9, 300.0, 0.0, state) for state in (False, True)]
    measured: dict[str, list[float]] = {}

    def take(name: str, value: float | None) -> None:
        if value is not None:
            measured.setdefault(name, []).append(value)

    kernel(p, start[:1024], 1)
    plain_numba(p, start)
    with lab() as (bench, address):
        folder = bench.parent
        for _ in range(options.rounds):
            take("kernel, 1 thread", kernel(p, start, 1))
            take("kernel, 2 threads", kernel(p, start, 2))
            take("plain numba, float64", plain_numba(p, start))
            take("cmtj", reference(p))
            take("fast path", small.rate(48))
            take("numpy", numpy_path(laws[0], laws[1], 512))
            take("operating system", system_bytes())
            take("fast path, 1,024 × 1,024", large.rate(24))
            take("HDF5 append", hdf5_append(folder))
            take("over the wire", over_the_wire(address))
            take("into HDF5", whole_path(bench, folder, "toggle"))
    result = _result(measured, small, large)
    _print(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


_ASKED = {
    "kernel, 2 threads, over cmtj": 100,
    "fast path over numpy": 20,
    "fast path over operating system": 1,
    "into HDF5 over its slowest part": 0.6,
    "1,024 × 1,024 cells over 64 × 64": 0,
}


def _result(measured: dict[str, list[float]], small: FastPath, large: FastPath) -> dict[str, Any]:
    def ratio(of: str, *over: str) -> float:
        pairs = zip(measured[of], *(measured[name] for name in over), strict=True)
        return statistics.median(value / min(others) for value, *others in pairs)

    ratios = {
        "kernel, 1 thread, over plain numba": ratio("kernel, 1 thread", "plain numba, float64"),
        "kernel, 2 threads, over plain numba": ratio("kernel, 2 threads", "plain numba, float64"),
        "fast path over numpy": ratio("fast path", "numpy"),
        "fast path over operating system": ratio("fast path", "operating system"),
        "1,024 × 1,024 cells over 64 × 64": ratio("fast path, 1,024 × 1,024", "fast path"),
        "over the wire over the fast path": ratio("over the wire", "fast path"),
        "into HDF5 over its slowest part": ratio("into HDF5", "fast path", "HDF5 append", "over the wire"),
    }
    if "cmtj" in measured:
        ratios["kernel, 1 thread, over cmtj"] = ratio("kernel, 1 thread", "cmtj")
        ratios["kernel, 2 threads, over cmtj"] = ratio("kernel, 2 threads", "cmtj")
    pulses = small.run._step(60.0)
    share = small.refresh_seconds() * statistics.median(measured["fast path"]) / (pulses * ARRAY)
    return {
        "per_s": measured,
        "median_per_s": {name: statistics.median(values) for name, values in measured.items()},
        "ratios": ratios,
        "drift_share_of_the_fast_path": share,
        "large_array": {
            "build_seconds": large.build_seconds,
            "begin_seconds": large.begin_seconds,
            "bytes_per_cell": large.bytes_per_cell,
        },
    }


def _print(result: dict[str, Any]) -> None:
    for name, rate in result["median_per_s"].items():
        unit = "cell-steps/s" if "kernel" in name or "numba" in name or name == "cmtj" else "bit/s"
        print(f"{name:<28}{rate / 1e6:>10.1f} M{unit}")
    for name, value in result["ratios"].items():
        asked = f" (asked: at least {_ASKED[name]:g})" if _ASKED.get(name) else ""
        print(f"{name}: {value:.3g}{asked}")
    large = result["large_array"]
    print(
        f"drift and wear, share of the fast path's time: {100 * result['drift_share_of_the_fast_path']:.1f} %"
    )
    print(
        f"1,024 × 1,024 cells: built in {large['build_seconds']:.1f} s (asked: below 5), first pulse after "
        f"{large['begin_seconds']:.1f} s more, {large['bytes_per_cell']:.0f} bytes a cell"
    )


if __name__ == "__main__":
    sys.exit(main())

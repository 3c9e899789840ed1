"""What a servo does for a drifting array, and what of it can be seen in the bits.

`python -m benchmarks.hold [--json FILE] [--bits N]`: simulated cells of sets B and C with their 1/f drift of V_c, and
a temperature that swings by ±5 K once in the run, draw N bits (10⁹) without a servo and with it; set C also without
any drift. The servo sees nothing but the bits. Printed: how far the fraction of ones strays from one half, in a block
and in a row of the array over 16 blocks; how far the cells are from each other; and the correlation of a cell with
itself at lags of 1 to 64 pulses, and of the stream at lags of 1 to 64 bits, in standard errors. Every seed is fixed.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numba
import numpy as np

from entropy.quality.cell_counts import CellCounts, count_cells
from instruments.array import Block
from instruments.holding import Counts, Response, Servo
from instruments.tuning._search import VOLTAGE, Range, Search
from mock_hw import MacrospinDevice, Selection, Sequence, SimulatedArray
from mock_hw._array import Run
from mock_hw.physics import load_device
from mock_hw.physics._parameters import Drift

ROWS = COLUMNS = 64
CELLS = ROWS * COLUMNS
PULSES = 1024  # of a block
LAGS = 64
GROUP = 16  # blocks over which the rows of the array are looked at
TOLERANCE = 0.03  # to which the cells are tuned first, as a recording does
SWING = 5.0  # K to either side


class DriftingArray:
    """Simulated cells in this process, in the reset sequence; `block` gives what a board would send."""

    def __init__(self, device: str, seed: int, *, still: bool = False, settle: float = 1e-6) -> None:
        parameters = load_device(device)
        if still:
            parameters = parameters.model_copy(update={"drift": Drift()})
        point = parameters.working_point
        assert point is not None
        self.point = point
        self._cells = MacrospinDevice(parameters, CELLS, seed)
        self._array = SimulatedArray(self._cells, ROWS, COLUMNS, seed)
        self._settle = settle
        self.used = np.ones(CELLS, bool)
        relaxed = self.point.period + settle
        r_p, r_ap = self._cells.resistances(self.point.read_voltage, 300.0, relaxed, settle)
        self._thresholds = ((r_p + r_ap) / 2).reshape(ROWS, COLUMNS)

    @property
    def seconds_per_block(self) -> float:
        """Board time of a block."""
        return PULSES * 2 * ROWS * (self.point.period + self._settle)

    def block(self, trims: np.ndarray, pulses: int = PULSES, temperature: float = 300.0) -> Block:
        """Pulse the cells with these trims (cells,), volts, at this temperature of the laboratory."""
        point = self.point
        sequence = Sequence(
            selection=Selection(0, ROWS - 1, 0, COLUMNS - 1),
            mask=self.used.reshape(ROWS, COLUMNS),
            toggle=False,
            voltage=(point.voltage + trims).reshape(ROWS, COLUMNS),
            width=point.width,
            reset_voltage=point.reset_voltage,
            reset_width=point.reset_width or point.width,
            thresholds=self._thresholds,
            read_voltage=point.read_voltage,
            settle=self._settle,
            temperature=temperature,
            period=point.period,
        )
        positions = pulses * CELLS
        bits, valid = (np.zeros(positions // 64 + 1, np.uint64) for _ in range(2))
        run = Run(self._array, sequence)
        failed = run.bits(pulses, bits, valid)
        run.end()
        packed, mask = (words.view(np.uint8)[: positions // 8] for words in (bits, valid))
        return Block(0, pulses, CELLS, 0.0, packed, mask, failed or 0)

    def run(
        self, voltage: np.ndarray, width: np.ndarray, active: np.ndarray, pulses: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give pulses for a tuning: see `Pulser` of the search; only the voltage is trimmed."""
        counts = _counts(self.block(voltage, pulses))
        return counts.usable * active.astype(float), counts.ones * active.astype(float)

    def tune(self) -> tuple[np.ndarray, Response]:
        """Trim as a recording does at its start; returns trims and slopes, and leaves out what cannot be trimmed."""
        furthest = 0.25 * abs(self.point.voltage)
        found = Search(self, CELLS, 0.5, TOLERANCE, {VOLTAGE: Range(-furthest, furthest)}).run(self.used)
        self.used = found.done
        return np.where(self.used, found.voltage, 0.0), Response.of(
            found.per_volt, found.low, found.high, 0.5
        )


class Correlations:
    """Sums of products of outcomes as ±1: of a cell with itself some pulses later, and along the stream."""

    def __init__(self) -> None:
        self._before = np.zeros((2, 0, CELLS // 64), np.uint64)
        self.cells = np.zeros((2, LAGS), np.int64)  # products, pairs
        self.stream = np.zeros((2, LAGS), np.int64)
        self.ones, self.usable = np.zeros(CELLS, np.int64), np.zeros(CELLS, np.int64)

    def add(self, block: Block, counts: Counts) -> None:
        """Take in the next block of the recording."""
        assert block.valid is not None
        rows = np.stack([part.view(">u8").astype(np.uint64) for part in (block.bits, block.valid)])
        rows = np.concatenate([self._before, rows.reshape(2, block.pulses, -1)], axis=1)
        _products(rows, self._before.shape[1], self.cells, self.stream)
        self._before = rows[:, -LAGS:].copy()
        self.ones += counts.hits
        self.usable += counts.trials

    def about_half(self) -> np.ndarray:
        """Correlation about one half of cells pooled, in standard errors 1/√pairs, (lags,)."""
        return self.cells[0] / np.sqrt(self.cells[1])

    def about_means(self) -> np.ndarray:
        """The same about each cell's own mean, as a test that knows of the cells would have it.

        At the end of the run a mean is missed by a few outcomes of some 10⁵, which is nothing here.
        """
        means = 2 * self.ones / np.maximum(self.usable, 1) - 1
        weights = self.usable / max(self.usable.sum(), 1)
        excess = (weights * np.where(self.usable > 0, means, 0) ** 2).sum()
        return (self.cells[0] / self.cells[1] - excess) * np.sqrt(self.cells[1])

    def along_the_stream(self) -> np.ndarray:
        """Correlation about one half of bits of the stream, which are other cells' for most lags."""
        return self.stream[0] / np.sqrt(self.stream[1])


@numba.njit(nogil=True, cache=True)
def _products(rows, begin, cells, stream):  # pragma: no cover (compiled)
    """`rows`: bits and validity, (2, pulses, words); those before `begin` have had their turn as the later ones."""
    pulses, width = rows.shape[1], rows.shape[2]
    flat = rows.reshape(2, pulses * width)
    for lag in range(1, cells.shape[1] + 1):
        pairs, unequal = 0, 0
        for at in range(max(begin, lag) * width, pulses * width):
            both = flat[1, at] & flat[1, at - lag * width]
            pairs += _ones(both)
            unequal += _ones(both & (flat[0, at] ^ flat[0, at - lag * width]))
        cells[0, lag - 1] += pairs - 2 * unequal
        cells[1, lag - 1] += pairs
        pairs, unequal = 0, 0
        left, right = np.uint64(lag % 64), np.uint64(64 - lag % 64)
        for at in range(max(begin * width, 1), pulses * width):
            if lag == 64:
                bits, valid = flat[0, at - 1], flat[1, at - 1]
            else:
                bits = (flat[0, at] >> left) | (flat[0, at - 1] << right)
                valid = (flat[1, at] >> left) | (flat[1, at - 1] << right)
            both = flat[1, at] & valid
            pairs += _ones(both)
            unequal += _ones(both & (flat[0, at] ^ bits))
        stream[0, lag - 1] += pairs - 2 * unequal
        stream[1, lag - 1] += pairs


@numba.njit(nogil=True, cache=True, inline="always")
def _ones(x):  # pragma: no cover (compiled)
    x = x - ((x >> np.uint64(1)) & np.uint64(0x5555555555555555))
    x = (x & np.uint64(0x3333333333333333)) + ((x >> np.uint64(2)) & np.uint64(0x3333333333333333))
    x = (x + (x >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((x * np.uint64(0x0101010101010101)) >> np.uint64(56))


@dataclass(frozen=True)
class Held:
    """What one run amounted to; deviations of the fraction of ones from one half, correlations in standard errors."""

    device: str
    servo: str
    still: bool
    bits: int
    cells: int
    board_seconds: float
    worst_block: float
    worst_rows: float
    cells_rms: float
    worst_lag_about_half: float
    worst_lag_about_means: float
    worst_lag_of_stream: float
    mean_about_half: float
    mean_about_means: float
    mean_of_stream: float
    seconds_in_servo: float
    blocks: tuple[float, ...]  # of each block
    kelvin: tuple[float, ...]
    lags: tuple[float, ...]  # 1 to LAGS: correlation about one half, in standard errors


def _counts(block: Block) -> CellCounts:
    return count_cells(block.bits, block.valid, block.cells, block.pulses)


def hold(device: str, servo: str, bits: float, *, still: bool = False, seed: int = 1) -> Held:
    """Draw `bits` bits while the cells drift, or not (`still`); `servo` is "off", "common" or "cells"."""
    array = DriftingArray(device, seed, still=still)
    trims, response = array.tune()
    holdable = array.used & np.isfinite(response.slopes)
    held = Servo(trims, response.slopes, holdable, prior=response.prior, common_only=servo == "common")
    correlations, spent = Correlations(), 0.0
    blocks, rows, kelvin = [], [], []
    count = round(bits / array.used.sum() / PULSES)
    for number in range(count):
        kelvin.append(0.0 if still else SWING * float(np.sin(2 * np.pi * number / count)))
        block = array.block(trims, temperature=300.0 + kelvin[-1])
        began = time.perf_counter()
        seen = _counts(block)
        counts = Counts(seen.ones, seen.usable)
        if servo != "off" and held.update(counts, trims):
            trims = held.trims
        spent += time.perf_counter() - began
        correlations.add(block, counts)
        blocks.append(counts.hits.sum() / counts.trials.sum() - 0.5)
        rows.append((counts.hits, counts.trials))
    ones, usable = correlations.ones[array.used], correlations.usable[array.used]
    return Held(
        device=device,
        servo=servo,
        still=still,
        bits=int(usable.sum()),
        cells=int(array.used.sum()),
        board_seconds=count * array.seconds_per_block,
        worst_block=float(np.abs(blocks).max()),
        worst_rows=_worst_rows(rows),
        cells_rms=float(np.std(ones / usable - 0.5)),
        worst_lag_about_half=_largest(correlations.about_half()),
        worst_lag_about_means=_largest(correlations.about_means()),
        worst_lag_of_stream=_largest(correlations.along_the_stream()),
        mean_about_half=_mean(correlations.about_half()),
        mean_about_means=_mean(correlations.about_means()),
        mean_of_stream=_mean(correlations.along_the_stream()),
        seconds_in_servo=spent,
        blocks=tuple(float(block) for block in blocks),
        kelvin=tuple(kelvin),
        lags=tuple(correlations.about_half().tolist()),
    )


def _worst_rows(blocks: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Farthest that a row of the array strays in GROUP blocks."""
    whole = np.array(blocks[: len(blocks) // GROUP * GROUP])
    hits, trials = whole.reshape(-1, GROUP, 2, ROWS, COLUMNS).sum((1, 4)).transpose(1, 0, 2)
    return float(np.abs(hits / trials - 0.5).max()) if len(whole) else float("nan")


def _largest(values: np.ndarray) -> float:
    return float(values[np.abs(values).argmax()])


def _mean(values: np.ndarray) -> float:
    """Standard errors by which the mean of all lags is off: more sensitive than any one lag to what they share."""
    return float(values.sum() / np.sqrt(len(values)))


RUNS = [
    ("B", "off", False),
    ("B", "common", False),
    ("B", "cells", False),
    ("C", "off", False),
    ("C", "cells", False),
    ("C", "off", True),
    ("C", "cells", True),
]


def main() -> None:
    """Make every run and print what they amounted to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--bits", type=float, default=1e9, help="of each run (default 1e9)")
    chosen = parser.parse_args()
    print(
        "set  drift  servo    worst block  worst row  cells rms   about ½  own mean  stream: largest (all lags), σ"
    )
    outcomes = []
    for device, servo, still in RUNS:
        held = hold(device, servo, chosen.bits, still=still)
        outcomes.append(asdict(held))
        print(
            f"{device:4} {'none' if still else '±5 K':6} {servo:8} {held.worst_block:11.4f} {held.worst_rows:10.4f} "
            f"{held.cells_rms:10.4f}  {held.worst_lag_about_half:5.1f} ({held.mean_about_half:.1f})  "
            f"{held.worst_lag_about_means:5.1f} ({held.mean_about_means:.1f})  "
            f"{held.worst_lag_of_stream:5.1f} ({held.mean_of_stream:.1f})"
        )
    if chosen.json:
        chosen.json.write_text(json.dumps(outcomes, indent=1), "utf-8")


if __name__ == "__main__":
    main()

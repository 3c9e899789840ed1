"""What tuning costs: the search of `memtj tune` and grid scans of the same simulated cells, by the simulated truth.

`python -m benchmarks.tuning [--json FILE]`: 1,024 cells, sets C and B, to P = ½ ± 0.01. The search runs over the wire,
with the drift and the noise of the simulated lab. The grid scans are drawn from the same cells' probabilities without
either, G trims that are the same for all cells with N pulses each: the cheapest of many (G, N) that brings 99 % of the
cells to within 0.01, once taking the nearest point, once a line through the two points around the target.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import instruments
from instruments.procedures import Tune
from memtj._example_bench import example_bench
from mock_hw.physics import MacrospinDevice
from mock_hw.testing import board_lab

SIDE, TOLERANCE, TARGET, ENOUGH = 32, 0.01, 0.5, 0.99
SETTINGS: dict[str, dict[str, float]] = {
    "C": {"voltage": 0.85, "width": 0.3e-9},
    "B": {"voltage": 0.2915, "width": 500e-9, "period": 1.2e-6, "reset_voltage": -0.335, "reset_width": 500e-9,
          "read_voltage": 0.05},
}  # fmt: skip
REACH = {
    "C": 0.2,
    "B": 0.035,
}  # volts from the middle to the ends of a grid that crosses the target for every cell
POINTS = (9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257)
PULSES = (2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000)

Curve = Callable[[np.ndarray], np.ndarray]


def search(device: str, seed: int) -> dict[str, float]:
    """Tune over the wire; pulses per cell, and by the truth at its end shares within the tolerance and intervals."""
    with (
        tempfile.TemporaryDirectory() as folder,
        board_lab(rows=SIDE, columns=SIDE, device=device, seed=seed) as lab,
    ):
        text = example_bench(lab.resources["board"]).replace("pulse_width = 2e-9", "pulse_width = 1e-6")
        path = Path(folder) / "bench.toml"
        path.write_text(
            text.replace("rows = 64", f"rows = {SIDE}").replace("columns = 64", f"columns = {SIDE}")
        )
        with instruments.Bench.from_toml(path) as bench:
            procedure = Tune(bench=bench, out=str(Path(folder) / "tuning.json"), **SETTINGS[device])
            instruments.run_procedure(procedure, Path(folder) / "rows.csv")
            gain = bench.board.path.gain
        tuning, board = procedure.tuning, lab.boxes["board"]
        assert tuning is not None
        p = board.array.device.switching_probability(
            (tuning.conditions.voltage + tuning.voltage[0]) / gain,
            tuning.conditions.width + tuning.width[0], board.protection.temperature, 0.0, False,
        )  # fmt: skip
    used = tuning.used
    return {
        "pulses": float(tuning.pulses[used].mean()),
        "within": float((np.abs(p - TARGET) <= TOLERANCE)[used].mean()),
        "covered": float(((p >= tuning.low[0]) & (p <= tuning.high[0]))[used].mean()),
        "used": float(used.mean()),
    }


def scans(curve: Curve, reach: float, dice: np.random.Generator) -> Iterator[tuple[str, int, float]]:
    """Scan with many grids; gives the way of reading it, pulses per cell, share within the tolerance."""
    cells = np.arange(SIDE * SIDE)
    for points in POINTS:
        grid = np.linspace(-reach, reach, points)
        p = np.array([curve(np.full(len(cells), volts)) for volts in grid])
        for pulses in PULSES:
            counted = (dice.binomial(pulses, p) + 0.5) / (pulses + 1)
            nearest = grid[np.abs(counted - TARGET).argmin(0)]
            off = np.log(counted / (1 - counted)) - np.log(TARGET / (1 - TARGET))
            rises = (off[:-1] < 0) & (off[1:] >= 0)
            at = rises.argmax(0)
            with np.errstate(invalid="ignore", divide="ignore"):
                between = grid[at] + (grid[1] - grid[0]) * off[at, cells] / (
                    off[at, cells] - off[at + 1, cells]
                )
            line = np.where(rises.any(0), between, nearest)
            for name, volts in (("nearest point", nearest), ("line", line)):
                yield name, points * pulses, float((np.abs(curve(volts) - TARGET) <= TOLERANCE).mean())


def cheapest(device: str, seed: int) -> dict[str, int | None]:
    """Find the fewest pulses per cell with which a grid brings enough cells to the target; None: no grid did."""
    settings = SETTINGS[device]
    known: Any = MacrospinDevice.of(device, SIDE * SIDE, seed)

    def curve(trims: np.ndarray) -> np.ndarray:
        return known.switching_probability(settings["voltage"] + trims, settings["width"], 300.0, 0.0, False)

    found: dict[str, int | None] = {"nearest point": None, "line": None}
    for name, pulses, share in scans(curve, REACH[device], np.random.default_rng(seed)):
        best = found[name]
        if share >= ENOUGH and (best is None or pulses < best):
            found[name] = pulses
    return found


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, Any] = {}
    print(
        f"{'set':<5}{'pulses a cell':>14}{'within':>9}{'covered':>9}   grid scans: pulses a cell, times the search"
    )
    for device in SETTINGS:
        tuned, grids = search(device, options.seed), cheapest(device, options.seed)
        result[device] = {"search": tuned, "grid": grids}
        told = "; ".join(
            f"{name} " + ("never" if pulses is None else f"{pulses:,} ({pulses / tuned['pulses']:.1f})")
            for name, pulses in grids.items()
        )
        print(
            f"{device:<5}{tuned['pulses']:>14,.0f}{tuned['within']:>9.4f}{tuned['covered']:>9.4f}   {told}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

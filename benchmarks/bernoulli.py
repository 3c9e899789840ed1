"""How near a calibration of V(P) comes to the simulated truth, with how many pulses, and what drift does to it.

`python -m benchmarks.bernoulli [--json FILE]`: 1,024 cells of set C at 0.58 ns and of set D at 4.5 ns. Errors of P from
0.01 to 0.99, both directions: "board": calibrated over the wire as `memtj calibrate` does, volts rounded to codes of
8 bits; "cells": by the laws of the simulated devices alone; "drift": critical voltages go by 1 % while 4,000 draws are
made, followed from these (`DrawDrift`) and not.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import instruments
from instruments import Bench, run_procedure
from instruments.array import DacScale, DrawDrift, SwitchingLaw
from instruments.procedures import CalibrateDraws
from instruments.tuning import calibrate
from mock_hw.physics import MacrospinDevice
from mock_hw.testing import board_lab

SIDE = 32
SETTINGS = {
    "C": (0.58e-9, 0.3, 1.1),
    "D": (4.5e-9, 1.0, 1.32),
}  # s, and the volts between which it is calibrated
POINTS: dict[str, dict[str, float]] = {
    "C": {"width": 0.58e-9, "hold": -0.5},
    "D": {"width": 4.5e-9, "voltage": 1.2, "period": 30e-9, "reset_voltage": 1.255, "reset_width": 5.95e-9},
}
PROBABILITIES = (0.01, 0.02, 0.05, *(round(0.1 * i, 1) for i in range(1, 10)), 0.95, 0.98, 0.99)
PULSE = 1.006e-6  # s, with its reading, of each row

Truth = Callable[[np.ndarray], np.ndarray]  # probabilities, from P and from AP, at (2, cells) volts


class TrueCells:
    """Cells of a simulated device that switch by its law: a `VoltagePulser`, and the truth beside it."""

    def __init__(self, device: str, width: float, cells: int, seed: int) -> None:
        self.device, self.cells, self.width = MacrospinDevice.of(device, cells, seed), cells, width
        self.given = 0
        self._dice = np.random.default_rng(seed)

    def truth(self, volts: np.ndarray) -> np.ndarray:
        """Give the probability of each cell from P and from AP at (2, cells) volts, now."""
        return true_probabilities(self.device, volts, self.width, 300.0)

    def pulse(self, volts: np.ndarray, pulses: int) -> tuple[np.ndarray, np.ndarray]:
        """Toggle: each state has its stationary share of the pulses."""
        p = self.truth(volts)
        parallel = np.rint(pulses * p[1] / np.maximum(p.sum(0), 1e-12))
        n = np.stack([parallel, pulses - parallel])
        self.given += pulses
        self.device.advance(pulses * SIDE * PULSE)
        return n, self._dice.binomial(n.astype(int), p).astype(float)

    def rest(self) -> None:
        """Nothing has to be kept alive."""


def true_probabilities(device: Any, volts: np.ndarray, width: float, kelvin: float) -> np.ndarray:
    """Give the probability of each simulated cell from P and from AP, at (2, cells) volts."""
    chances = [
        device.switching_probability(volts[state], width, kelvin, 0.0, bool(state)) for state in (0, 1)
    ]
    return np.stack(chances)


def held_against(
    law: SwitchingLaw | DrawDrift, truth: Truth, dac: DacScale | None = None
) -> dict[str, float]:
    """Compare with the truth what is reached where each of PROBABILITIES is asked for."""
    errors, inside = [], []
    for p in PROBABILITIES:
        found = [law.voltage(p, bool(state)) for state in (0, 1)]
        volts, sigma = (np.stack(each) for each in zip(*found, strict=True))
        low, high = (truth(volts + each * sigma) for each in (-1.96, 1.96))
        inside.append((low <= p) & (high >= p))
        errors.append(truth(volts if dac is None else dac.volts(dac.codes(volts))) - p)
    off = np.array(errors)
    return {
        "mean_error": float(np.abs(off).mean()),
        "quantile_99": float(np.quantile(np.abs(off), 0.99)),
        "largest_mean": float(np.abs(off.mean((1, 2))).max()),
        "covered": float(np.mean(inside)),
    }


def measure(device: str, pulses: int, *, cells: int = SIDE * SIDE, seed: int = 3) -> dict[str, float]:
    """Calibrate, and compare with the truth at its end."""
    width, lowest, highest = SETTINGS[device]
    array = TrueCells(device, width, cells, seed)
    law = calibrate(array, lowest, highest, pulses)
    return {"pulses": float(array.given), **held_against(law, array.truth)}


def measure_board(device: str, pulses: int, *, side: int = SIDE, seed: int = 3) -> dict[str, float]:
    """Calibrate a simulated board over its wire, and compare with the truth at its end; codes of 8 bits."""
    with tempfile.TemporaryDirectory() as folder, board_lab(
        rows=side, columns=side, seed=seed, device=device
    ) as lab:  # fmt: skip
        path = Path(folder)
        (path / "bench.toml").write_text(bench_text(lab.resources["board"], side), "utf-8")
        with Bench.from_toml(path / "bench.toml") as bench:
            procedure = CalibrateDraws(
                bench=bench, out=str(path / "draws.npz"), pulses=pulses, **POINTS[device]
            )
            run_procedure(procedure, path / "rows.csv")
            gain = bench.board.path.gain
        found, board = procedure.calibration, lab.boxes["board"]
        assert found is not None

        def truth(volts: np.ndarray) -> np.ndarray:
            kelvin = board.protection.temperature
            return true_probabilities(board.array.device, volts / gain, POINTS[device]["width"], kelvin)

        ends = found.conditions.highest - found.conditions.lowest
        dac = DacScale(8, ends / 254, found.conditions.lowest - ends / 254)
        return {"pulses": float(found.conditions.pulses), **held_against(found.law, truth, dac)}


def bench_text(resource: str, side: int) -> str:
    """Give a bench file of such an array, which may be held and stands the pulses of set D."""
    text = Path(instruments.__file__).with_name("example_bench.toml").read_text("utf-8")
    for old, new in (
        ("TCPIP::127.0.0.1::5025::SOCKET", resource),
        ("rows = 64", f"rows = {side}"),
        ("columns = 64", f"columns = {side}"),
        ("pulse_width = 2e-9", "pulse_width = 8e-9"),
        ("duty = 0.5", "hold_voltage = 0.6\nduty = 0.5"),
        ('driver = "ArrayBoard"', 'options = { timeout = 20000 }\ndriver = "ArrayBoard"'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


def drifting(
    device: str,
    *,
    change: float = 0.01,
    draws: int = 4000,
    pulses: int = 60_000,
    cells: int = SIDE * SIDE,
    seed: int = 3,
) -> Iterator[tuple[str, dict[str, float]]]:
    """Draw while the critical voltages go by `change`; give errors at the end, with and without the correction."""
    width, lowest, highest = SETTINGS[device]
    array, dice = TrueCells(device, width, cells, seed), np.random.default_rng(seed)
    law = calibrate(array, lowest, highest, pulses)
    drift, dac = DrawDrift(law), DacScale(8, (highest - lowest) / 254, lowest - (highest - lowest) / 254)
    state = np.zeros(cells, bool)
    for draw in range(draws):
        volts = dac.volts(dac.codes(drift.voltage(dice.choice(PROBABILITIES, cells), state)[0]))
        chances = array.truth(np.broadcast_to(volts / (1 + change * draw / draws), (2, cells)))
        switched = dice.random(cells) < np.where(state, chances[1], chances[0])
        drift.take(volts, switched, np.ones(cells, bool), state)
        state = state ^ switched
    for name, followed in (("followed", drift), ("not followed", law)):
        yield name, held_against(followed, lambda volts: array.truth(volts / (1 + change)), dac)


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    result: dict[str, dict[str, float]] = {}

    def show(name: str, row: dict[str, float]) -> None:
        result[name] = row
        print(
            f"{name:<24}{row['mean_error']:>12.4f}{row['quantile_99']:>9.4f}{row['largest_mean']:>13.4f}"
            f"{row['covered']:>9.3f}{row.get('cpu_seconds', 0):>8.1f}",
            flush=True,
        )

    print(
        f"{'set, pulses a cell':<24}{'mean error':>12}{'99 %':>9}{'mean of all':>13}{'covered':>9}{'CPU s':>8}"
    )
    for kind, measured in (("board", measure_board), ("cells", measure)):
        for device, pulses in (("C", 60_000), ("C", 15_000), ("D", 60_000)):
            began = time.process_time()
            row = measured(device, pulses, seed=options.seed)
            show(f"{device} {pulses} {kind}", row | {"cpu_seconds": time.process_time() - began})
    for device in SETTINGS:
        for name, row in drifting(device, seed=options.seed):
            show(f"{device} drift {name}", row)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

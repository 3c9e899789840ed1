"""How near a calibration of V(P) comes to the simulated truth, and with how many pulses.

`python -m benchmarks.bernoulli [--json FILE]`: 1,024 cells of set C at 0.58 ns and of set D at 4.5 ns, drawn in
memory from the laws of the simulated devices with their drift. Errors of P from 0.01 to 0.99, both directions.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from instruments.tuning import calibrate
from mock_hw.physics import MacrospinDevice

SIDE = 32
SETTINGS = {
    "C": (0.58e-9, 0.3, 1.1),
    "D": (4.5e-9, 1.0, 1.32),
}  # s, and the volts between which it is calibrated
PROBABILITIES = (0.01, 0.02, 0.05, *(round(0.1 * i, 1) for i in range(1, 10)), 0.95, 0.98, 0.99)
PULSE = 1.006e-6  # s, with its reading, of each row


class TrueCells:
    """Cells of a simulated device that switch by its law: a `VoltagePulser`, and the truth beside it."""

    def __init__(self, device: str, width: float, cells: int, seed: int) -> None:
        self.device, self.cells, self.width = MacrospinDevice.of(device, cells, seed), cells, width
        self.given = 0
        self._dice = np.random.default_rng(seed)

    def truth(self, volts: np.ndarray) -> np.ndarray:
        """Give the probability of each cell from P and from AP at (2, cells) volts, now."""
        return np.stack(
            [
                self.device.switching_probability(volts[state], self.width, 300.0, 0.0, bool(state))
                for state in (0, 1)
            ]
        )

    def pulse(self, volts: np.ndarray, pulses: int) -> tuple[np.ndarray, np.ndarray]:
        """Toggle: each state has its stationary share of the pulses."""
        p = self.truth(volts)
        parallel = np.rint(pulses * p[1] / np.maximum(p.sum(0), 1e-12))
        n = np.stack([parallel, pulses - parallel])
        self.given += pulses
        self.device.advance(pulses * SIDE * PULSE)
        return n, self._dice.binomial(n.astype(int), p).astype(float)


def measure(device: str, pulses: int, *, cells: int = SIDE * SIDE, seed: int = 3) -> dict[str, float]:
    """Calibrate, and compare with the truth at its end."""
    width, lowest, highest = SETTINGS[device]
    array = TrueCells(device, width, cells, seed)
    began = time.process_time()
    law = calibrate(array, lowest, highest, pulses)
    seconds = time.process_time() - began
    errors, inside = [], []
    for p in PROBABILITIES:
        found = [law.voltage(p, bool(state)) for state in (0, 1)]
        volts, sigma = (np.stack(each) for each in zip(*found, strict=True))
        errors.append(array.truth(volts) - p)
        inside.append((array.truth(volts - 1.96 * sigma) <= p) & (array.truth(volts + 1.96 * sigma) >= p))
    off = np.array(errors)
    return {
        "pulses": float(array.given),
        "mean_error": float(np.abs(off).mean()),
        "quantile_99": float(np.quantile(np.abs(off), 0.99)),
        "largest_mean": float(np.abs(off.mean((1, 2))).max()),
        "covered": float(np.mean(inside)),
        "cpu_seconds": seconds,
    }


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seed", type=int, default=3)
    options = parser.parse_args()
    result = {}
    print(
        f"{'set':<5}{'pulses a cell':>14}{'mean error':>12}{'99 %':>9}{'mean of all':>13}{'covered':>9}{'CPU s':>8}"
    )
    for device, pulses in (("C", 60_000), ("C", 15_000), ("D", 60_000)):
        row = result[f"{device} {pulses}"] = measure(device, pulses, seed=options.seed)
        print(
            f"{device:<5}{row['pulses']:>14,.0f}{row['mean_error']:>12.4f}{row['quantile_99']:>9.4f}"
            f"{row['largest_mean']:>13.4f}{row['covered']:>9.3f}{row['cpu_seconds']:>8.1f}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

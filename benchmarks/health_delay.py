"""How many samples the health tests need to find a cell that went bad.

`python -m benchmarks.health_delay [--cells N] [--seed S]`: cells that were ideal go to P(1) = 0.6, 0.75, or stick, at
a random place of a window, and the tests of `entropy.CellHealth` run on until they fail or 2²⁰ samples are over. The
table gives the median and the 95th percentile of the samples from the fault to the failure, to 8 of them or an eighth.
"""

import argparse

import numpy as np

from entropy.quality.health import CellHealth, Cutoffs

CLAIMS, EXPONENTS = (0.7, 0.9, 0.98), (20, 40)
FAULTS = {"P(1) = 0.6": 0.6, "P(1) = 0.75": 0.75, "stuck": 1.0}
LONGEST = 1 << 20
STEP = 8  # pulses between looks, to begin with; an eighth of the delay later on


def delays(cutoffs: Cutoffs, p1: float, cells: int, random: np.random.Generator) -> np.ndarray:
    """Samples from the fault to the failure of each cell, infinite where there is none; float64, (cells,)."""
    health = CellHealth(cutoffs, cells)
    # Every cell is somewhere else in its window when it goes bad.
    ideal = random.integers(0, 2, (cutoffs.window, cells), np.uint8)
    used = (np.arange(cutoffs.window)[:, None] < random.integers(1, cutoffs.window + 1, cells)).astype(
        np.uint8
    )
    health.check(np.packbits(ideal), np.packbits(used), ideal.size)
    found = np.full(cells, np.inf)
    done = 0
    while done < LONGEST and np.isinf(found).any():
        pulses = min(max(STEP, done // 8 // STEP * STEP), 1 << 13)
        if p1 == 1:
            bits = np.full(pulses * cells // 8, 0xFF, np.uint8)
        else:
            bits = np.packbits(random.random((pulses, cells), np.float32) < p1)
        failed = health.check(bits, None, pulses * cells).cells
        done += pulses
        found[failed] = np.minimum(found[failed], done)
    return found


def table(cells: int, seed: int) -> list[str]:
    """Rows of the table, in Markdown."""
    random = np.random.default_rng(seed)
    lines = [
        f"| claimed H | a | cutoffs | {' | '.join(FAULTS)} |",
        f"|---|---|---|{'---|' * len(FAULTS)}",
    ]
    for claim in CLAIMS:
        for exponent in EXPONENTS:
            cutoffs = Cutoffs.from_claim(claim, exponent)
            told = [_said(delays(cutoffs, p1, cells, random)) for p1 in FAULTS.values()]
            lines.append(
                f"| {claim:g} | {exponent} | {cutoffs.repetition}, {cutoffs.proportion} | {' | '.join(told)} |"
            )
    return lines


def _said(found: np.ndarray) -> str:
    missed = float(np.isinf(found).mean())
    if missed > 0.5:
        return f"not within 2²⁰ ({1 - missed:.0%} are)"
    median = np.median(found)
    high = np.sort(found)[int(0.95 * len(found))]
    return f"{median:,.0f}; {high:,.0f}" if np.isfinite(high) else f"{median:,.0f}; more than 2²⁰"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print("\n".join(table(options.cells, options.seed)))


if __name__ == "__main__":
    main()

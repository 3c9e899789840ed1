"""How soon there is something: a recorder's first bit, and the demo's first preview and its end. Linux.

`python -m benchmarks.start [--against CHECKOUT] [--pairs N] [--json FILE]`: in this checkout, and in another one in
turn, in processes of their own; medians. Processor seconds are those of recorder and lab, or of all the demo's
processes; `outcomes_per_cell` are the usable ones before the first block, `spread_of_p` is the standard deviation of
the cells' P in a recording without a servo, counting noise taken out. Only the ratios mean anything.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_ASKED = {
    "first_bit_s": "at most 0.5",
    "outcomes_per_cell": "at least 1",
    "spread_of_p": "at most 1",
    "demo_s": "at most 0.6",
    "demo_memory_mb": "at most 1",
}


def started_in(checkout: Path, what: str) -> dict[str, float]:
    """Start something in a process of a checkout; see `benchmarks._start_process`."""
    with tempfile.TemporaryDirectory() as folder:
        answer = subprocess.run(
            [sys.executable, "-P", str(Path(__file__).with_name("_start_process.py")), folder, what],
            env={**os.environ, "PYTHONPATH": str(checkout.resolve())},
            cwd=folder,
            check=True,
            stdout=subprocess.PIPE,
        )
    return json.loads(answer.stdout)


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--against", type=Path)
    options = parser.parse_args()
    ours = Path(__file__).parents[1]
    sides = [ours] if options.against is None else [ours, options.against]
    measured: list[dict[str, list[float]]] = [{} for _ in sides]
    for what in ("first-bit", "cells", "demo"):
        for number in range(options.pairs if what != "cells" else 1):  # the lab's seed is fixed
            for at in sorted(range(len(sides)), reverse=bool(number % 2)):
                for name, value in started_in(sides[at], what).items():
                    measured[at].setdefault(name, []).append(value)
    print(f"{'medians':<24}{'here':>12}" + (f"{'there':>12}{'ratio':>8}" if options.against else ""))
    for name, values in measured[0].items():
        line = f"{name:<24}{statistics.median(values):>12.4g}"
        if options.against:
            there = measured[1][name]
            ratio = statistics.median(a / b for a, b in zip(values, there, strict=True))
            line += f"{statistics.median(there):>12.4g}{ratio:>8.2f}  {_ASKED.get(name, '')}"
        print(line)
    print("asked of first_preview_s: at most 10 on a quiet machine")
    if options.json:
        options.json.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

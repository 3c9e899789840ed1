"""Health tests, conditioners and estimators in raw bits a second, beside the rate of recording; in one run, one core.

`python -m benchmarks.entropy [--json FILE] [--rounds N] [--no-recording]`: conditioners read from memory; SHA-256 and
XOR stand beside hashlib and numpy, the others beside what one would write in numpy. The recording rate is that of the
simulated board over VISA into a new store (a rate of the simulator and the wire, not of a device). Medians over rounds
in which both sides have their turn, there and back. Only the ratios mean anything.
"""

import argparse
import json
import statistics
from pathlib import Path

import threadpoolctl

from benchmarks import _entropy_conditioners, _entropy_estimators, _entropy_health
from benchmarks._entropy_rows import Row
from benchmarks._lab import lab

ASKED = {"xor2": "near 1", "toeplitz": "200 Mbit/s or more"}


def recording(rounds: int) -> Row:
    """Record from a simulated lab in its own process into new stores, whole path, without resets."""
    from benchmarks.acquisition import whole_path

    with lab() as (bench, _):
        rates = [whole_path(bench, bench.parent, "toggle") for _ in range(rounds)]
    return Row("recording, simulated board", statistics.median(rates))


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-recording", action="store_true", help="leave the recording rate out")
    options = parser.parse_args()
    found: dict[str, list[Row]] = {}
    if not options.no_recording:
        found["recording"] = [recording(min(options.rounds, 3))]
    with threadpoolctl.threadpool_limits(1):
        found["health tests"] = _entropy_health.rows()
        found["conditioners"] = _entropy_conditioners.rows(options.rounds)
        found["estimators"] = _entropy_estimators.rows()
    base = found["recording"][0].bits_per_s if "recording" in found else None
    _print(found, base)
    if options.json:
        result = {title: [_as_json(row, base) for row in rows] for title, rows in found.items()}
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _as_json(row: Row, base: float | None) -> dict[str, object]:
    over = None if base is None else row.bits_per_s / base
    return {**row._asdict(), "name": row.name.strip(), "over_recording": over}


def _print(found: dict[str, list[Row]], base: float | None) -> None:
    print(f"{'raw bits a second, one core':<52}{'Mbit/s':>10}{'recording':>11}{'ratio':>8}  beside")
    for title, rows in found.items():
        print(title)
        for row in rows:
            over = "" if base is None else f"{row.bits_per_s / base:.2f}×"
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            asked = ASKED.get(row.name.split(" ", 1)[0])
            note = f"{row.beside} (asked: {asked})" if asked and row.beside else row.beside
            print(f"  {row.name:<50}{row.bits_per_s / 1e6:>10.1f}{over:>11}{ratio:>8}  {note}")


if __name__ == "__main__":
    main()

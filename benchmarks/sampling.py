"""Pictures per second with noise from recorded bits against torch's own, and what the noise costs.

`python -m benchmarks.sampling [--json FILE]`: alternating pairs of runs of the shipped network, the same but
for their noise; the bits are recorded beforehand into a temporary store. Only the ratios mean anything.
`--beside N` measures instead what torch's threads cost and gain the commands beside N busy processes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._beside import COMMANDS, table
from entropy import Store, Xor
from entropy.testing import record_blocks
from sampler import Checkpoint, LeaseSource, SampleSettings, bill, build_scheduler, load_checkpoint, sample

_CELLS = 4096
_PULSES = 2048


@dataclass(frozen=True)
class Pair:
    """Pictures per second of a pair's two runs, and the noise's share of the first one's processor time."""

    array: float
    torch: float
    noise_fraction: float

    @property
    def ratio(self) -> float:
        """Array noise over torch's."""
        return self.array / self.torch


def record(store: Store, bits: int) -> None:
    """Record at least `bits` bits of the operating system."""
    size = _CELLS * _PULSES // 8
    blocks = (np.frombuffer(os.urandom(size), np.uint8) for _ in range(-(-bits // (8 * size))))
    record_blocks(store, blocks, cells=_CELLS)


def with_array(
    checkpoint: Checkpoint, settings: SampleSettings, labels: list[int], store: Store
) -> tuple[float, float]:
    """Sample from a lease; gives pictures per second and the noise's share of the processor time."""
    cost = bill(checkpoint, settings, len(labels), Xor(2))
    start = time.perf_counter()
    with store.lease(cost.recorded, purpose="benchmark") as lease:
        samples = sample(checkpoint, labels, LeaseSource(lease), settings)
    return len(labels) / (time.perf_counter() - start), samples.noise_fraction


def with_torch(checkpoint: Checkpoint, settings: SampleSettings, labels: list[int]) -> float:
    """Sample as anyone would with torch's generator; gives pictures per second."""
    kind = checkpoint.pictures
    start = time.perf_counter()
    for at in range(0, len(labels), settings.microbatch):
        part = torch.tensor(labels[at : at + settings.microbatch])
        scheduler = build_scheduler(settings.scheduler, settings.steps, checkpoint.card["scheduler"])
        with torch.no_grad():
            x = torch.randn(len(part), *kind.shape)
            for t in scheduler.timesteps:
                x = scheduler.step(checkpoint.model(x, t, class_labels=part).sample, t, x).prev_sample
    return len(labels) / (time.perf_counter() - start)


def measure(pairs: int, settings: SampleSettings, pictures: int, threads: int) -> list[Pair]:
    """Run the alternating pairs, after one of each that is not counted."""
    torch.set_num_threads(threads)
    checkpoint = load_checkpoint()
    labels = [i % 10 for i in range(pictures)]
    measured = []
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store") as store:
        record(store, bill(checkpoint, settings, pictures, Xor(2)).recorded * (pairs + 1))
        for pair in range(pairs + 1):
            # Who goes first alternates too, so that a machine that warms up or slows down favours neither.
            if pair % 2:
                own = with_torch(checkpoint, settings, labels)
                array, fraction = with_array(checkpoint, settings, labels, store)
            else:
                array, fraction = with_array(checkpoint, settings, labels, store)
                own = with_torch(checkpoint, settings, labels)
            measured.append(Pair(array, own, fraction))
    return measured[1:]


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sampling", description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--beside", type=int, metavar="N", help="Beside N busy processes, against one thread."
    )
    parser.add_argument("--rounds", type=int, default=3, help="Of --beside: runs of each command each way.")
    parser.add_argument("--commands", default=",".join(COMMANDS), help="Of --beside: which commands.")
    options = parser.parse_args()
    if options.beside is not None:
        commands = options.commands.split(",")
        found = table(options.beside, commands, options.rounds, options.pictures, options.steps)
        _write(options.json, {"beside": options.beside, "commands": [asdict(item) for item in found]})
        return
    settings = SampleSettings("ddpm", options.steps, microbatch=16)
    pairs = measure(options.pairs, settings, options.pictures, options.threads)
    ratio = statistics.median(p.ratio for p in pairs)
    fraction = statistics.median(p.noise_fraction for p in pairs)
    print(
        f"{options.pictures} pictures, {options.steps} DDPM steps, {options.threads} threads, XOR of 2 bits"
    )
    print(f"{'pair':>6} {'array/s':>9} {'torch/s':>9} {'ratio':>7} {'noise':>7}")
    for number, p in enumerate(pairs, 1):
        print(f"{number:>6} {p.array:>9.3f} {p.torch:>9.3f} {p.ratio:>7.3f} {p.noise_fraction:>7.2%}")
    print(f"{'median':>6} {'':>9} {'':>9} {ratio:>7.3f} {fraction:>7.2%}   (asked: at least 0.98)")
    result = {
        "settings": asdict(settings),
        "pictures": options.pictures,
        "threads": options.threads,
        "pairs": [{**asdict(p), "ratio": p.ratio} for p in pairs],
        "median_ratio": ratio,
        "median_noise_fraction": fraction,
    }
    _write(options.json, result)


def _write(file: Path | None, result: dict[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

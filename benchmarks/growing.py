"""How long pictures take to grow in a simulated array, beside the network alone, as a ratio measured in one run.

`python -m benchmarks.growing [--network CHECKPOINT] [--pictures 64] [--side 224] [--calibration FILE] [--json FILE]`:
set C at 0.58 ns, −0.5 V held, in a lab that is a process of its own, calibrated with few pulses (`--keep` keeps the
file, and `--calibration` takes it the next time: the lab's seed is the same). The network, untrained unless a
checkpoint is named, is asked as often before each growing and after it. Within a growing its own seconds are told
apart, so that a machine whose speed changes meanwhile changes that ratio least.
"""

import argparse
import contextlib
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks._python import python
from instruments import Bench, DrawCalibration, run_procedure
from instruments.procedures import CalibrateDraws
from memtj._example_bench import example_bench
from memtj.growing import Growing, grow_pictures
from memtj.growing._network import Network
from sampler import Checkpoint, SampleSettings, TrainSettings, load_checkpoint, load_data, train

GOAL = 1.5
PULSES, WIDTH, HOLD, SEED = 3000, 0.58e-9, -0.5, 7


@contextlib.contextmanager
def lab(folder: Path, side: int) -> Iterator[Path]:
    """Serve a board of set C in a process of its own; gives its bench file."""
    file, bench = folder / "lab.toml", folder / "bench.toml"
    file.write_text(f'[boxes.board]\nkind = "array-board"\nrows = {side}\ncolumns = {side}\n', "utf-8")
    with python("-m", "memtj", "lab", str(file), f"--seed={SEED}", "--json", "--exit-with-parent") as ready:
        text = example_bench(json.loads(ready)["resources"]["board"])
        text = text.replace("rows = 64", f"rows = {side}").replace("columns = 64", f"columns = {side}")
        text = text.replace("duty = 0.5", "hold_voltage = 0.6\nduty = 0.5")
        bench.write_text(text + "\n[instruments.board.options]\ntimeout = 60000\n", "utf-8")
        yield bench


def untrained(folder: Path) -> Checkpoint:
    """Give a network of the widths of `memtj train` after one step."""
    train(TrainSettings(folder, 1, 2, seed=1, process="binary"), data=load_data())
    return load_checkpoint(folder)


def calibrated(bench: Path, out: Path) -> DrawCalibration:
    """Calibrate as `memtj calibrate` does, with as few pulses as it takes."""
    procedure = CalibrateDraws(pulses=PULSES, hold=HOLD, width=WIDTH, out=str(out))
    with Bench.from_toml(bench) as opened:
        procedure.bench = opened
        run_procedure(procedure, out.with_suffix(".csv"))
    return DrawCalibration.load(out)


def alone(run: Growing, pictures: int) -> float:
    """Seconds of the network that is asked about so many pictures in all steps, without an array."""
    network = Network(run.checkpoint, run.settings.microbatch, lambda: None)
    x = np.random.default_rng(1).integers(0, 2, (pictures, *run.checkpoint.pictures.shape), np.uint8)
    for t in range(run.settings.steps, 0, -1):
        network.ask(run.labels[:pictures], x, t)
    return network.seconds


def measure(run: Growing, bench: Path, folder: Path, repeats: int) -> dict[str, float]:
    """Seconds of the network alone and of growing, in turn so many times, and once more alone; the least of each.

    `pair_least`, `pair_most`: the ratio of each growing to the mean of the network alone before and after it.
    """
    pictures, times, grown = len(run.labels), [alone(run, len(run.labels))], list[tuple[float, float]]()
    for turn in range(repeats):
        with Bench.from_toml(bench) as opened:
            start = time.monotonic()
            found, _, _ = grow_pictures(run, opened, folder / f"store{turn}", folder / f"out{turn}")
            grown.append((time.monotonic() - start, found.network_seconds))
        times.append(alone(run, pictures))
        print(
            f"alone {times[-2]:.1f} s, growing {grown[-1][0]:.1f} s (network {grown[-1][1]:.1f} s), ", end=""
        )
        print(f"alone {times[-1]:.1f} s", flush=True)
    pairs = [2 * whole / (a + b) for (whole, _), a, b in zip(grown, times, times[1:], strict=False)]
    within = [each / own for each, own in grown]
    whole, network = min(grown)
    return {
        "pictures": pictures, "steps": run.settings.steps, "network_alone": min(times), "growing": whole,
        "network_in_growing": network, "ratio": whole / min(times), "pair_least": min(pairs), "pair_most": max(pairs),
        "within_least": min(within), "within_most": max(within),
        "beyond_ms_a_step": 1e3 * min(each - own for each, own in grown) / run.settings.steps,
    }  # fmt: skip


def main() -> None:
    """Measure, print, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", type=Path, help="checkpoint of memtj train --process binary")
    parser.add_argument("--pictures", type=int, default=64)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--calibration", type=Path)
    parser.add_argument("--keep", type=Path, help="new file for the calibration")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, lab(Path(name), options.side) as bench:
        folder = Path(name)
        model = load_checkpoint(options.network) if options.network else untrained(folder / "model")
        start = time.monotonic()
        known = (
            DrawCalibration.load(options.calibration)
            if options.calibration
            else calibrated(bench, options.keep or folder / "draws.npz")
        )
        settings = SampleSettings(model.scheduler, model.default_steps, microbatch=16, floor=0.01)
        labels = [number % 10 for number in range(options.pictures)]
        found = {"calibration": time.monotonic() - start}
        found |= measure(
            Growing(model, settings, labels, known, writes=False), bench, folder, options.repeats
        )
    print(f"{options.pictures} pictures in {options.side} × {options.side} cells, {found['steps']:.0f} steps")
    for key, what in (
        ("network_alone", "s of the network alone, the least"),
        ("growing", "s of growing, from an open bench to pictures in files, the least, of which"),
        ("network_in_growing", "  s of the network"),
        ("beyond_ms_a_step", "  ms a step that are not the network's"),
        ("ratio", f"growing over the network alone (asked: at most {GOAL:g})"),
        ("pair_least", "  the least over the network just before and after it"),
        ("pair_most", "  the most"),
        ("within_least", "growing over the network's own seconds in it, the least"),
        ("within_most", "  the most"),
        ("calibration", "s of calibrating, or of reading its file"),
    ):
        print(f"{found[key]:>9.2f}  {what}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

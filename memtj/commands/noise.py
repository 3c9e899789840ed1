"""`memtj noise`: the forward process in an array, step by step, for a figure and as training data."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._options import AsJson, BenchPath, ExitWithParent, WireLogPath
from memtj._outputs import refuse_unwritable
from memtj._processes import end_with_parent
from memtj._progress import ProgressDisplay
from memtj._quantities import si

if TYPE_CHECKING:
    from memtj.growing import Noised
    from sampler import DataSet


def noise(
    bench_file: BenchPath,
    calibration: Annotated[
        Path, typer.Option(help="File of 'memtj calibrate': its pulses and hold are used.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for steps, figure and store.")],
    dataset: Annotated[
        str, typer.Option(help="digits, a folder of pictures, or an .npz file with images.")
    ] = "digits",
    images: Annotated[int, typer.Option(min=1, help="How many pictures, spread over the data set.")] = 8,
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels of a side; those of the data by default.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of the binary process.")] = 64,
    wire_log: WireLogPath = None,
    as_json: AsJson = False,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Noise pictures in an array, a pulse a pixel and step; exit code 1 where a step flips more or fewer than asked."""
    import numpy as np

    from instruments import Bench, DrawCalibration
    from memtj._data import load_told
    from memtj.growing import noise_pictures
    from memtj.pages._forward_figure import forward_figure
    from sampler.processes import ONE_FROM, BinaryProcess

    if exit_with_parent:
        end_with_parent()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandError(f"{out} is there already: name a new folder with --out.")
    refuse_unwritable(out)
    data = load_told(dataset, size=size, channels=1)
    if images > len(data):
        raise CommandError(f"{dataset} has {len(data):,} pictures: ask for as many at most.")
    chosen = np.linspace(0, len(data) - 1, images).round().astype(int)
    clean = (data.images[chosen] >= ONE_FROM).astype(np.uint8)[:, None]
    known, process, bench = (
        DrawCalibration.load(calibration),
        BinaryProcess(steps),
        Bench.from_toml(bench_file, wire_log=wire_log),
    )
    with ProgressDisplay() as display, bench:
        follow = display.task("noising", steps, "steps").advance_to
        noised = noise_pictures(bench, known, process, clean, out / "store", progress=follow)
    _save(out / "forward.npz", noised, data, chosen)
    (out / "forward.png").write_bytes(forward_figure(noised.steps))
    outcome = _outcome(noised, known.source, out)
    answer(as_json, outcome, [_sentence(outcome)])
    if noised.outside:
        raise typer.Exit(1)


def _save(path: Path, noised: "Noised", data: "DataSet", chosen: Any) -> None:
    """Write x of every step, with what each was asked for and came to, as a numpy archive."""
    import numpy as np

    steps = noised.steps
    numbers: dict[str, Any] = {
        name: np.array([getattr(step, name) for step in steps])
        for name in ("asked", "flipped", "low", "high", "strayed")
    }
    x = np.stack([step.x for step in steps])
    np.savez_compressed(path, x=x, labels=data.labels[chosen], index=chosen, cells=noised.cells, **numbers)


def _outcome(noised: "Noised", source: Any, out: Path) -> dict[str, Any]:
    from memtj.energy import LEVELS, total

    pictures = len(noised.steps[0].x)
    return {
        "images": pictures,
        "steps": len(noised.steps) - 1,
        "outside": noised.outside,
        "straying_per_step": noised.straying.share,
        "straying_most_per_second": noised.straying.most,
        "energy_per_picture": {level: total(noised.terms, level) for level in LEVELS},
        "energy_terms": [asdict(term) for term in noised.terms],
        "counts": asdict(noised.counts),
        "calibration": source,
        "recording": noised.recording,
        "simulated": noised.simulated,
        "store": str(out / "store"),
        "out": str(out),
    }


def _sentence(outcome: dict[str, Any]) -> str:
    outside = outcome["outside"]
    verdict = (
        "each flips as many pixels as it was asked to"
        if not outside
        else f"{len(outside)} of them flip another share than they were asked for, the first is step {outside[0]}"
    )
    return (
        f"{outcome['images']} pictures noised in {outcome['steps']} steps in {outcome['out']}"
        f"{' (simulated)' if outcome['simulated'] else ''}: {verdict}; "
        f"{si(outcome['energy_per_picture']['junction'], 'J')} at the junctions a picture."
    )

"""`memtj grow`: pictures that form in the magnetisation of an array, one pulse a pixel and step."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._options import AsJson, BenchPath, ExitWithParent
from memtj._outputs import refuse_unwritable
from memtj._processes import end_with_parent
from memtj._progress import ProgressDisplay
from memtj._quantities import si

if TYPE_CHECKING:
    from memtj.growing import Growing, Grown


def grow(
    bench_file: BenchPath,
    model: Annotated[Path, typer.Option(help="Checkpoint folder of 'memtj train --process binary'.")],
    calibration: Annotated[
        Path, typer.Option(help="File of 'memtj calibrate': its pulses and hold are used.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the pictures.")],
    images: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 20,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the store for what is read; in --out by default.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels to draw, in turn, such as 3,1,4; all that there are by default."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the reverse process; all of the model's by default.")
    ] = None,
    mode: Annotated[
        Literal["flip", "write"],
        typer.Option(
            help="flip (what is stored) or write (reset every pixel, and draw it anew): the same law."
        ),
    ] = "flip",
    floor: Annotated[
        float,
        typer.Option(min=0, max=0.5, help="Flips less likely than this are left out, and have no pulse."),
    ] = 0.01,
    microbatch: Annotated[int, typer.Option(min=1, help="Pictures that the network sees at a time.")] = 16,
    grid: Annotated[int, typer.Option(min=1, help="Columns of the sheet of all pictures.")] = 10,
    animate: Annotated[
        Literal["gif", "apng"] | None, typer.Option(help="Also show how the pictures form.")
    ] = None,
    live: Annotated[
        Path | None, typer.Option(help="PNG file that shows the array's magnetisation after each step.")
    ] = None,
    as_json: AsJson = False,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Grow pictures in an array: each step flips each cell with the probability that the network says; all off then."""
    from instruments import Bench, DrawCalibration
    from memtj.commands.sample import labels_of
    from memtj.growing import Growing
    from sampler import RunFolder, SampleSettings, load_checkpoint

    if exit_with_parent:
        end_with_parent()
    RunFolder.refuse_used(out)
    refuse_unwritable(out)
    checkpoint = load_checkpoint(model)
    if checkpoint.process != "binary":
        raise CommandError(
            f"{model} draws no pictures of bits: name a model of 'memtj train --process binary'."
        )
    settings = SampleSettings(
        checkpoint.scheduler, steps or checkpoint.default_steps, microbatch=microbatch, floor=floor
    )
    wanted = labels_of(images, labels, checkpoint.pictures.labels)
    growing = Growing(checkpoint, settings, wanted, DrawCalibration.load(calibration), mode == "write")
    bench = Bench.from_toml(bench_file)
    with ProgressDisplay() as display, bench:
        grown, folder, frames = growing.run(
            bench,
            store or out / "store",
            out,
            animate=animate,
            watch=None if live is None else _Live(live).watch,
            progress=display.task("growing", images, "pictures").advance_to,
        )
    columns, scale = grid, max(1, 128 // max(checkpoint.pictures.height, checkpoint.pictures.width))
    _lay_out(folder, frames, out, columns, scale)
    outcome = _outcome(growing, grown, out, store or out / "store")
    answer(as_json, outcome, [_sentence(outcome)])


def _lay_out(folder: Any, frames: Any, out: Path, columns: int, scale: int) -> None:
    from sampler import save_sheet

    told = folder.provenance()
    save_sheet(folder.pixels(), out / "images.png", columns, scale, provenance=told)
    if frames is not None:
        frames.animate(columns, scale, told)


class _Live:
    """A picture of the magnetisation, written anew after each step: any viewer that looks again shows it live."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def watch(self, step: Any, magnetisation: Any) -> None:
        from sampler import save_sheet

        save_sheet([magnetisation.astype("uint8") * 255], self._path, 1, 2)


def _outcome(growing: "Growing", grown: "Grown", out: Path, store: Path) -> dict[str, Any]:
    from memtj.energy import LEVELS, total

    counts, images = grown.counts, len(growing.labels)
    return {
        "images": images,
        "steps": growing.settings.steps,
        "mode": "write" if growing.writes else "flip",
        "floor": growing.settings.floor,
        "bits_per_picture": counts.draws / images,
        "pulses_per_picture": (counts.pulses + counts.resets) / images,
        "resets_per_picture": counts.resets / images,
        "energy_per_picture": {level: total(grown.terms, level) for level in LEVELS},
        "energy_terms": [asdict(term) for term in grown.terms],
        "counts": asdict(counts),
        "straying_per_step": grown.straying,
        "seconds": grown.seconds,
        "network_seconds": grown.network_seconds,
        "simulated": grown.simulated,
        "store": str(store),
        "out": str(out),
    }


def _sentence(outcome: dict[str, Any]) -> str:
    joules = outcome["energy_per_picture"]
    return (
        f"{outcome['images']} pictures of {outcome['steps']} steps in {outcome['out']}"
        f"{' (simulated)' if outcome['simulated'] else ''}: {outcome['bits_per_picture']:,.0f} bits, "
        f"{outcome['pulses_per_picture']:,.0f} pulses ({outcome['resets_per_picture']:,.0f} of them resets) and "
        f"{si(joules['junction'], 'J')} at the junctions, {si(joules['circuit'], 'J')} with the circuit, "
        f"{si(joules['system'], 'J')} in all, a picture."
    )

"""`memtj sample` and `memtj replay`: pictures from recorded bits, and the same pictures again."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memtj._conditioning import CONDITIONING_HELP, conditioning_of
from memtj._errors import CommandError
from memtj._progress import ProgressDisplay
from memtj._quantities import si

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Store
    from sampler import Bill, Picture

_SOURCES = ("store", "software", "os")


def _labels(images: int, labels: str | None) -> Sequence[int]:
    if labels is None:
        return [index % 10 for index in range(images)]
    try:
        wanted = [int(label) for label in labels.split(",")]
    except ValueError:
        raise CommandError(f"--labels {labels!r} is not a list of digits such as 3,1,4.") from None
    return [wanted[index % len(wanted)] for index in range(images)]


def _new_folder(out: Path) -> Path:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CommandError(f"{out} exists and is not an empty folder: name another one with --out.")
    out.mkdir(parents=True, exist_ok=True)
    return out


@contextlib.contextmanager
def _promised(
    store: "Store", bits: int, purpose: str, wait: float | None, min_entropy: float | None
) -> "Iterator[Callable[[int], Lease]]":
    """Have the whole bill promised before the first picture; gives what leases parts of it.

    Where not even running recordings will bring so much, `wait` may still bring a recording that is yet to start.
    """
    from entropy import NotEnoughBits

    try:
        reservation = store.reserve(bits, purpose=purpose, live=wait is not None, min_entropy=min_entropy)
    except NotEnoughBits:
        if wait is None:
            raise
        yield lambda wanted: store.lease(wanted, purpose=purpose, wait=wait, min_entropy=min_entropy)
        return
    with reservation:
        yield lambda wanted: reservation.lease(wanted, wait=wait)


def sample(
    out: Annotated[Path, typer.Option(help="New folder for the pictures.")],
    store: Annotated[Path | None, typer.Option(help="Folder of the store whose bits are the noise.")] = None,
    source: Annotated[
        str, typer.Option(help="Noise from: store, software (seeded), os (operating system).")
    ] = "store",
    images: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 20,
    labels: Annotated[
        str | None, typer.Option(help="Digits to draw, in turn, such as 3,1,4; all ten by default.")
    ] = None,
    scheduler: Annotated[str, typer.Option(help="ddpm, ddim or dpm-sde.")] = "ddpm",
    steps: Annotated[int, typer.Option(min=1, help="Steps of the reverse process.")] = 125,
    eta: Annotated[float, typer.Option(help="DDIM's η: 0 draws only the first noise, 1 one a step.")] = 0.0,
    conditioning: Annotated[str | None, typer.Option(help=CONDITIONING_HELP)] = None,
    min_entropy: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Claim so much min-entropy in every raw bit: use only bits that were assessed so high.",
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Checkpoint folder; without one, the shipped digits.")
    ] = None,
    microbatch: Annotated[
        int, typer.Option(min=1, help="Pictures at a time; part of a picture's identity.")
    ] = 16,
    wait: Annotated[
        float | None, typer.Option(help="Seconds to wait for bits that are still being recorded.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of --source software.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Draw pictures of digits with recorded bits as their noise. The bill comes first."""
    if source not in _SOURCES:
        raise CommandError(f"--source {source!r} is unknown: use {', '.join(_SOURCES)}.")
    if source == "store" and store is None:
        raise CommandError(
            "--store is missing: name the store whose bits are the noise, or another --source."
        )
    if source != "store" and min_entropy is not None:
        raise CommandError(f"--min-entropy goes with --source store, not with {source}: leave it out.")
    if source != "store" and store is not None:
        raise CommandError(f"--store goes with --source store, not with {source}: leave one of them out.")
    from entropy import Store
    from memtj._drawing import Drawing
    from sampler import (
        OperatingSystemSource,
        SampleSettings,
        SoftwareSource,
        bill,
        load_checkpoint,
        save_pictures,
        save_sheet,
        shipped_checkpoint,
    )

    settings = SampleSettings(scheduler=scheduler, steps=steps, eta=eta, microbatch=microbatch)
    digits = _labels(images, labels)
    checkpoint = load_checkpoint(model or shipped_checkpoint())
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(Store(store, create=False)) if store is not None else None
        conditioner = conditioning_of(opened, conditioning)
        cost = bill(checkpoint, settings, images, conditioner if opened is not None else None)
        _tell_bill(cost, source, as_json)
        take = None
        if opened is not None:
            take = stack.enter_context(_promised(opened, cost.recorded, f"sample {out}", wait, min_entropy))
            _tell_credit(conditioner, min_entropy, as_json)
        folder = _new_folder(out)
        display = stack.enter_context(ProgressDisplay())
        task = display.task("sampling", images, "pictures")

        def finished(pictures: "list[Picture]") -> None:
            save_pictures(pictures, folder / "pictures")

        started = time.monotonic()
        drawing = Drawing(checkpoint, digits, settings, task.advance_to, finished=finished)
        if opened is not None and take is not None:
            drawn = drawing.from_leases(opened, take, conditioner)
        else:
            drawn = drawing.from_source(
                SoftwareSource(seed) if source == "software" else OperatingSystemSource()
            )
        save_sheet(drawn.pictures, folder / "images.png", columns=10)
    seconds = time.monotonic() - started
    outcome = {
        "images": len(drawn.pictures),
        "out": str(folder),
        "bits": cost.recorded if opened is not None else 0,
        "seconds": seconds,
        "noise_fraction_of_sampling": drawn.noise_fraction,
    }
    if as_json:
        print(json.dumps(outcome))
    else:
        print(
            f"{len(drawn.pictures)} pictures in {folder} ({len(drawn.pictures) / seconds:.2f} pictures/s, "
            f"{100 * drawn.noise_fraction:.1f} % of the processor time for noise)."
        )


def _tell_bill(cost: "Bill", source: str, as_json: bool) -> None:
    if not as_json:
        print(f"bill: {cost} ({si(cost.recorded, 'bit')} from {source})")


def _tell_credit(conditioning: "Conditioning", claimed: float | None, as_json: bool) -> None:
    if claimed is not None and not as_json:
        sure = conditioning.output_min_entropy(claimed)
        likely = conditioning.output_min_entropy(claimed, independent=True)
        print(
            f"claim: {claimed:g} bit of min-entropy in every raw bit; {conditioning.name} leaves at least {sure:.4g} "
            f"in every bit of noise, {likely:.4g} if outcomes are independent"
        )


def replay(
    pictures: Annotated[list[Path], typer.Argument(help="Picture files (PNG or their JSON).")],
    store: Annotated[Path | None, typer.Option(help="Folder of the store that holds their bits.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Checkpoint folder; without one, the shipped digits.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Draw pictures again from the bits that their provenance names; exit code 1 unless all are identical."""
    import contextlib

    from entropy import Store
    from sampler import load_checkpoint, load_provenance, shipped_checkpoint
    from sampler import replay as draw_again

    outcomes = []
    with contextlib.ExitStack() as stack:
        told = [load_provenance(path) for path in pictures]
        opened = stack.enter_context(Store(store, create=False)) if store is not None else None
        checkpoint = load_checkpoint(model or shipped_checkpoint())
        for path, provenance in zip(pictures, told, strict=True):
            again = draw_again(provenance, opened, checkpoint)
            outcomes.append(
                {"picture": str(path), "identical": again.equal, "differences": again.differences}
            )
            if not as_json:
                verdict = "identical" if again.equal else "DIFFERENT"
                why = f" ({'; '.join(again.differences)})" if again.differences else ""
                print(f"{path}: {verdict}{why}")
    if as_json:
        print(json.dumps({"pictures": outcomes}))
    if not all(outcome["identical"] for outcome in outcomes):
        raise typer.Exit(1)

"""`memtj sample`: pictures from recorded bits, the bill first; what was interrupted is gone on with."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from memtj import __version__
from memtj._answer import answer
from memtj._conditioning import CONDITIONING_HELP, conditioning_of
from memtj._errors import CommandError
from memtj._options import Wait
from memtj._outputs import refuse_unwritable
from memtj._progress import ProgressDisplay
from memtj._quantities import si
from memtj._withheld import withheld_bits_named

if TYPE_CHECKING:
    from sampler import (
        Bill,
        Checkpoint,
        Frames,
        Picture,
        RunFolder,
        Samples,
        SampleSettings,
        SourceSpec,
        StoreSource,
    )

_SHEET_PIXELS = 128  # a smaller picture is enlarged to about so many on the sheet


def labels_of(images: int, wanted: str | None, known: int | None) -> list[int | None]:
    """Give each picture its label: those `wanted` in turn, or all that a network knows; None where it takes none."""
    if known is None:
        if wanted is not None:
            raise CommandError(
                "--labels goes with a model that draws by label, and this one takes none: leave it out."
            )
        return [None] * images
    if wanted is None:
        return [index % known for index in range(images)]
    try:
        labels = [int(label) for label in wanted.split(",")]
    except ValueError:
        raise CommandError(f"--labels {wanted!r} is not a list of labels such as 3,1,4.") from None
    return [labels[index % len(labels)] for index in range(images)]


def sample(
    out: Annotated[Path, typer.Option(help="New folder for the pictures.")],
    store: Annotated[Path | None, typer.Option(help="Folder of the store whose bits are the noise.")] = None,
    source: Annotated[
        Literal["store", "software", "os"],
        typer.Option(help="Noise from: store, software (seeded), os (operating system)."),
    ] = "store",
    images: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 20,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels to draw, in turn, such as 3,1,4; all that there are by default."),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            help="ddpm, ddim, pndm, euler, euler-ancestral, lcm, edm, dpm-sde, or a scheduler class of diffusers; "
            "the model's own by default."
        ),
    ] = None,
    scheduler_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Set one option of the scheduler; may be repeated."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps of the reverse process: 125 by default, all of a binary model's."),
    ] = None,
    eta: Annotated[float, typer.Option(help="DDIM's η: 0 draws only the first noise, 1 one a step.")] = 0.0,
    bits_per_normal: Annotated[
        int, typer.Option(help="Bits that a normal number is made of: 32, 16, 12, 8, 4, 2 or 1 (then ±1).")
    ] = 32,
    floor: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="A binary model's: leave out flips that are less likely than this, such as 0.01.",
        ),
    ] = 0.0,
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
        Path | None,
        typer.Option(
            help="Checkpoint folder, or a pipeline or model folder of diffusers; without one, the shipped digits."
        ),
    ] = None,
    microbatch: Annotated[
        str,
        typer.Option(help="Pictures at a time, part of a picture's identity; auto: what the memory holds."),
    ] = "16",
    grid: Annotated[int, typer.Option(min=1, help="Columns of the sheet of all pictures.")] = 10,
    animate: Annotated[
        Literal["gif", "apng"] | None, typer.Option(help="Also show the reverse process of the sheet.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out: keep its pictures, draw the rest.")
    ] = False,
    wait: Wait = None,
    seed: Annotated[int, typer.Option(help="Seed of --source software.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Draw pictures with recorded bits as their noise. The bill comes first."""
    from entropy import Store, check_conditioning
    from sampler import (
        RunFolder,
        SampleSettings,
        SourceSpec,
        StoreSource,
        load_checkpoint,
        shipped_checkpoint,
    )
    from sampler import scheduler_option as read_option

    _check_source(source, store, min_entropy)
    spec = SourceSpec(
        source, store=None if store is None else str(store), seed=seed
    )  # it refuses a wrong seed
    if not resume:
        RunFolder.refuse_used(out)
    refuse_unwritable(out)
    checkpoint = load_checkpoint(model or shipped_checkpoint())
    wanted = labels_of(images, labels, checkpoint.pictures.labels)
    name = scheduler or checkpoint.scheduler
    options = dict(read_option(name, text) for text in scheduler_option or [])
    steps = steps or checkpoint.default_steps
    size = _microbatch(microbatch, out, checkpoint, images)
    settings = SampleSettings(name, steps, eta, size, bits_per_normal, options, floor)
    with contextlib.ExitStack() as stack:
        stored = None
        if store is not None:
            opened = stack.enter_context(Store(store, create=False))
            stored = StoreSource(
                opened, conditioning_of(opened, conditioning), purpose=f"sample {out}", wait=wait,
                min_entropy=min_entropy,
            )  # fmt: skip
            check_conditioning(opened, stored.conditioning)
        run = _Sampling(checkpoint, settings, wanted, spec, stored, out, animate, grid, as_json).run()
    answer(as_json, run, ())


def _check_source(source: str, store: Path | None, min_entropy: float | None) -> None:
    if source == "store" and store is None:
        raise CommandError(
            "--store is missing: name the store whose bits are the noise, or another --source."
        )
    if source != "store" and min_entropy is not None:
        raise CommandError(f"--min-entropy goes with --source store, not with {source}: leave it out.")
    if source != "store" and store is not None:
        raise CommandError(f"--store goes with --source store, not with {source}: leave one of them out.")


def _microbatch(text: str, out: Path, checkpoint: "Checkpoint", images: int) -> int:
    """Read --microbatch; "auto" is what the run was begun with, or else what the memory holds."""
    from sampler import RunFolder, fitting_microbatch

    if text == "auto":
        then = RunFolder.begun_with(out)
        return int(then["microbatch"]) if then is not None else fitting_microbatch(checkpoint, images)
    if not text.isdecimal() or int(text) < 1:
        raise CommandError(f"--microbatch {text!r} is neither a number of pictures such as 16 nor auto.")
    return int(text)


@dataclass(frozen=True)
class _Sampling:
    """One call of the command: what to draw, from what, where to; `stored` where its bits are a store's."""

    checkpoint: "Checkpoint"
    settings: "SampleSettings"
    labels: list[int | None]
    source: "SourceSpec"
    stored: "StoreSource | None"
    out: Path
    animate: str | None
    columns: int
    quiet: bool

    def run(self) -> dict[str, Any]:
        """Tell the bill, have it promised, draw what is missing, and lay out the sheet."""
        from sampler import Frames, RunFolder, check_labels

        check_labels(self.labels, self.checkpoint.pictures.labels)
        with contextlib.ExitStack() as stack:
            opening = RunFolder.open(self.out, self._described(), self.labels, __version__)
            # A new run makes no folder before its bits are promised.
            run = stack.enter_context(opening) if RunFolder.begun_with(self.out) is not None else None
            cost = self._bill(len(self.labels) if run is None else len(run.missing))
            self._tell_bill(cost)
            if cost.pictures and self.stored is not None:
                stack.enter_context(self._promised(self.stored, cost.recorded))
            run = run or stack.enter_context(opening)
            frames = None if self.animate is None else Frames(run, self.out / f"images.{self.animate}")
            display = stack.enter_context(ProgressDisplay())
            started = time.monotonic()
            samples = self._draw(run, frames, display)
            seconds = time.monotonic() - started
            self._lay_out(run, frames)
        self._say(
            f"{len(samples.pictures)} pictures in {self.out} ({len(samples.pictures) / seconds:.2f} pictures/s, "
            f"{100 * samples.noise_fraction:.1f} % of the processor time for noise)."
        )
        return {
            "images": len(self.labels),
            "kept": len(run.kept),
            "out": str(self.out),
            "bits": cost.recorded if self.stored is not None else 0,
            "bits_each": self._bill(1).recorded_each,
            "microbatch": self.settings.microbatch,
            "seconds": seconds,
            "noise_fraction_of_sampling": samples.noise_fraction,
        }

    def _described(self) -> dict[str, Any]:
        """What the pictures of a run have in common."""
        described = {
            "images": len(self.labels),
            "labels": None if None in self.labels else self.labels,
            "model": self.checkpoint.sha256,
            "model_config": self.checkpoint.config_sha256,
            **self.settings.as_json(),
            "source": self.source.kind,
        }
        if self.stored is None:
            return described | ({"seed": self.source.seed} if self.source.seeded else {})
        return described | {
            "store": self.stored.store.uuid,
            "conditioning": self.stored.conditioning.name,
            "min_entropy": self.stored.min_entropy,
        }

    def _bill(self, pictures: int) -> "Bill":
        from sampler import bill

        conditioning = None if self.stored is None else self.stored.conditioning
        return bill(self.checkpoint, self.settings, pictures, conditioning)

    @contextlib.contextmanager
    def _promised(self, stored: "StoreSource", recorded: int) -> "Iterator[None]":
        """Have the whole bill promised before the first picture, and say what is claimed of its bits."""
        with contextlib.ExitStack() as stack:
            with withheld_bits_named(stored.store):
                stack.enter_context(stored.promised(recorded))
            if stored.min_entropy is not None:
                sure = stored.conditioning.output_min_entropy(stored.min_entropy)
                likely = stored.conditioning.output_min_entropy(stored.min_entropy, independent=True)
                self._say(
                    f"claim: {stored.min_entropy:g} bit of min-entropy in every raw bit; {stored.conditioning.name} "
                    f"leaves at least {sure:.4g} in every bit of noise, {likely:.4g} if outcomes are independent"
                )
            yield

    def _draw(self, run: "RunFolder", frames: "Frames | None", display: ProgressDisplay) -> "Samples":
        from sampler import LeasedBits, draw_parts, made_bits, parts_of

        def finished(pictures: "Sequence[Picture]") -> None:
            if frames is not None:
                frames.save(pictures)
            run.save(pictures)

        conditioning = None if self.stored is None else self.stored.conditioning
        parts = parts_of(self.checkpoint, self.settings, run.missing, self.source, conditioning)
        with contextlib.ExitStack() as stack:
            if self.stored is not None:
                stack.enter_context(withheld_bits_named(self.stored.store))
            return draw_parts(
                parts,
                made_bits if self.stored is None else LeasedBits(self.stored.store, self.stored.lease),
                kept=len(run.kept),
                progress=display.task("sampling", len(self.labels), "pictures").advance_to,
                watch=None if frames is None else frames.watch,
                finished=finished,
            )

    def _lay_out(self, run: "RunFolder", frames: "Frames | None") -> None:
        from sampler import save_sheet

        kind = self.checkpoint.pictures
        scale = max(1, _SHEET_PIXELS // max(kind.height, kind.width))
        provenance = run.provenance()
        save_sheet(run.pixels(), self.out / "images.png", self.columns, scale, provenance=provenance)
        if frames is not None:
            frames.animate(self.columns, scale, provenance)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text)

    def _tell_bill(self, cost: "Bill") -> None:
        kept = len(self.labels) - cost.pictures
        if kept:
            self._say(f"kept: {kept} of {len(self.labels)} pictures that {self.out} holds")
        if cost.pictures and self.stored is None:
            self._say(f"bill: {si(cost.bits, 'bit')} from {self.source.kind}, none of them recorded")
        elif cost.pictures:
            self._say(f"bill: {cost} ({si(cost.recorded, 'bit')} from {self.source.kind})")

"""`memtj sample`: pictures from recorded bits, the bill first; what was interrupted is gone on with."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memtj._conditioning import CONDITIONING_HELP, conditioning_of
from memtj._drawing import Drawing, Drawn
from memtj._errors import CommandError
from memtj._options import Wait
from memtj._outputs import refuse_unwritable
from memtj._progress import ProgressDisplay
from memtj._quantities import si
from memtj._sampling_run import Frames, SamplingRun, begun_with, refuse_used
from memtj._withheld import withheld_bits_named

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Store
    from sampler import Bill, Checkpoint, Picture, SampleSettings

_SOURCES = ("store", "software", "os")
_SHEET_PIXELS = 128  # a smaller picture is enlarged to about so many on the sheet


@dataclass(frozen=True)
class _Noise:
    """Where a run's bits come from."""

    source: str
    seed: int
    min_entropy: float | None
    wait: float | None
    store: "Store | None" = None
    conditioning: "Conditioning | None" = None

    def described(self) -> dict[str, Any]:
        """What the pictures of a run have in common by it."""
        if self.store is None or self.conditioning is None:
            return {"source": self.source, **({"seed": self.seed} if self.source == "software" else {})}
        return {
            "source": "store",
            "store": self.store.uuid,
            "conditioning": self.conditioning.name,
            "min_entropy": self.min_entropy,
        }


def _labels(images: int, wanted: str | None, known: int | None) -> list[int | None]:
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
    steps: Annotated[int, typer.Option(min=1, help="Steps of the reverse process.")] = 125,
    eta: Annotated[float, typer.Option(help="DDIM's η: 0 draws only the first noise, 1 one a step.")] = 0.0,
    bits_per_normal: Annotated[
        int, typer.Option(help="Bits that a normal number is made of: 32, 16, 12, 8, 4, 2 or 1 (then ±1).")
    ] = 32,
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
        str | None, typer.Option(help="Also show the reverse process of the sheet, as gif or apng.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out: keep its pictures, draw the rest.")
    ] = False,
    wait: Wait = None,
    seed: Annotated[int, typer.Option(help="Seed of --source software.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Draw pictures with recorded bits as their noise. The bill comes first."""
    _check_source(source, store, min_entropy)
    from entropy import Store, check_conditioning
    from sampler import SoftwareSource, load_checkpoint, shipped_checkpoint

    SoftwareSource(seed)  # which refuses a seed that is none
    if animate not in (None, "gif", "apng"):
        raise CommandError(f"--animate {animate!r} is unknown: use gif or apng.")
    if not resume:
        refuse_used(out)
    refuse_unwritable(out)
    checkpoint = load_checkpoint(model or shipped_checkpoint())
    wanted = _labels(images, labels, checkpoint.pictures.labels)
    settings = _settings(
        checkpoint, scheduler, scheduler_option or [], steps, eta, bits_per_normal,
        _microbatch(microbatch, out, checkpoint, images),
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(Store(store, create=False)) if store is not None else None
        noise = _Noise(
            source, seed, min_entropy, wait, opened, conditioning_of(opened, conditioning) if opened else None
        )
        if noise.store is not None and noise.conditioning is not None:
            check_conditioning(noise.store, noise.conditioning)
        outcome = _Sampling(checkpoint, settings, wanted, noise, out, animate, grid, as_json).run()
    if as_json:
        print(json.dumps(outcome))


def _check_source(source: str, store: Path | None, min_entropy: float | None) -> None:
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


def _microbatch(text: str, out: Path, checkpoint: "Checkpoint", images: int) -> int:
    """Read --microbatch; "auto" is what the run was begun with, or else what the memory holds."""
    from sampler import fitting_microbatch

    if text == "auto":
        then = begun_with(out)
        return int(then["microbatch"]) if then is not None else fitting_microbatch(checkpoint, images)
    if not text.isdecimal() or int(text) < 1:
        raise CommandError(f"--microbatch {text!r} is neither a number of pictures such as 16 nor auto.")
    return int(text)


def _settings(
    checkpoint: "Checkpoint",
    scheduler: str | None,
    options: Sequence[str],
    steps: int,
    eta: float,
    bits_per_normal: int,
    microbatch: int,
) -> "SampleSettings":
    from sampler import SampleSettings, scheduler_option

    name = scheduler or checkpoint.scheduler
    return SampleSettings(
        name, steps, eta, microbatch, bits_per_normal, dict(scheduler_option(name, text) for text in options)
    )


@dataclass(frozen=True)
class _Sampling:
    """One call of the command: what to draw, from what, where to."""

    checkpoint: "Checkpoint"
    settings: "SampleSettings"
    labels: list[int | None]
    noise: _Noise
    out: Path
    animate: str | None
    columns: int
    quiet: bool

    def run(self) -> dict[str, Any]:
        """Tell the bill, have it promised, draw what is missing, and lay out the sheet."""
        from sampler import bill, check_labels

        check_labels(self.labels, self.checkpoint.pictures.labels)
        conditioning = self.noise.conditioning
        with contextlib.ExitStack() as stack:
            whole = bill(self.checkpoint, self.settings, len(self.labels), conditioning)
            then = begun_with(self.out)
            run = None if then is None else stack.enter_context(self._open())
            missing = len(self.labels) if run is None else len(run.missing)
            cost = bill(self.checkpoint, self.settings, missing, conditioning)
            self._tell_bill(cost, len(self.labels) - missing)
            take = stack.enter_context(self._taking(cost)) if missing else None
            if run is None:
                run = stack.enter_context(self._open())
            display = stack.enter_context(ProgressDisplay())
            started = time.monotonic()
            drawn = self._draw(run, display, take)
            seconds = time.monotonic() - started
            self._lay_out(run)
        outcome = {
            "images": len(self.labels),
            "kept": len(run.kept),
            "out": str(self.out),
            "bits": cost.recorded if self.noise.store is not None else 0,
            "bits_each": whole.recorded_each,
            "microbatch": self.settings.microbatch,
            "seconds": seconds,
            "noise_fraction_of_sampling": drawn.noise_fraction,
        }
        self._say(
            f"{len(drawn.pictures)} pictures in {self.out} ({len(drawn.pictures) / seconds:.2f} pictures/s, "
            f"{100 * drawn.noise_fraction:.1f} % of the processor time for noise)."
        )
        return outcome

    def _open(self) -> SamplingRun:
        labels = [-1 if label is None else label for label in self.labels]
        described = {
            "images": len(self.labels),
            "labels": None if -1 in labels else labels,
            "model": self.checkpoint.sha256,
            "model_config": self.checkpoint.config_sha256,
            **self.settings.as_json(),
            **self.noise.described(),
        }
        return SamplingRun.open(self.out, described, self.settings.as_json(), self.labels)

    @contextlib.contextmanager
    def _taking(self, cost: "Bill") -> "Iterator[Callable[[int], Lease] | None]":
        store = self.noise.store
        if store is None:
            yield None
            return
        purpose = f"sample {self.out}"
        with contextlib.ExitStack() as stack:
            with withheld_bits_named(store):
                take = stack.enter_context(
                    _promised(store, cost.recorded, purpose, self.noise.wait, self.noise.min_entropy)
                )
            self._tell_credit()
            yield take

    def _draw(
        self, run: SamplingRun, display: ProgressDisplay, take: "Callable[[int], Lease] | None"
    ) -> Drawn:
        from sampler import OperatingSystemSource, SoftwareSource

        frames = None if self.animate is None else Frames(run, self.out / f"images.{self.animate}")
        if frames is not None:
            frames.check()
        task = display.task("sampling", len(self.labels), "pictures")

        def finished(pictures: "list[Picture]") -> None:
            if frames is not None:
                frames.save(pictures)
            run.save(pictures)

        drawing = Drawing(
            self.checkpoint, self.labels, self.settings, task.advance_to, finished=finished,
            trace=None if frames is None else frames.trace, numbers=run.missing,
        )  # fmt: skip
        noise = self.noise
        if noise.store is not None and noise.conditioning is not None:
            if take is None:
                return Drawn()
            with withheld_bits_named(noise.store):
                return drawing.from_leases(noise.store, take, noise.conditioning)
        return drawing.from_source(
            SoftwareSource(noise.seed) if noise.source == "software" else OperatingSystemSource()
        )

    def _lay_out(self, run: SamplingRun) -> None:
        from sampler import load_pixels, save_sheet

        kind = self.checkpoint.pictures
        scale = max(1, _SHEET_PIXELS // max(kind.height, kind.width))
        provenance = run.provenance()
        shown = [load_pixels(run.picture(number)) for number in range(len(self.labels))]
        save_sheet(shown, self.out / "images.png", self.columns, scale, provenance=provenance)
        if self.animate is not None:
            frames = Frames(run, self.out / f"images.{self.animate}")
            if not (frames.done and not frames.has_frames):
                frames.animate(self.columns, scale, provenance)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(text)

    def _tell_bill(self, cost: "Bill", kept: int) -> None:
        if kept:
            self._say(f"kept: {kept} of {len(self.labels)} pictures that {self.out} holds")
        if kept == len(self.labels):
            return
        if self.noise.store is None:
            self._say(f"bill: {si(cost.bits, 'bit')} from {self.noise.source}, none of them recorded")
        else:
            self._say(f"bill: {cost} ({si(cost.recorded, 'bit')} from {self.noise.source})")

    def _tell_credit(self) -> None:
        claimed, conditioning = self.noise.min_entropy, self.noise.conditioning
        if claimed is not None and conditioning is not None:
            sure = conditioning.output_min_entropy(claimed)
            likely = conditioning.output_min_entropy(claimed, independent=True)
            self._say(
                f"claim: {claimed:g} bit of min-entropy in every raw bit; {conditioning.name} leaves at least "
                f"{sure:.4g} in every bit of noise, {likely:.4g} if outcomes are independent"
            )

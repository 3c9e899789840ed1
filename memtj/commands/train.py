"""`memtj train`: train a network, each of its random numbers from a source of one's choice."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from memtj._answer import answer
from memtj._conditioning import CONDITIONING_HELP, conditioning_of
from memtj._data import load_told
from memtj._errors import CommandError
from memtj._options import Wait
from memtj._outputs import refuse_unwritable
from memtj._progress import ProgressDisplay
from memtj._quantities import si

if TYPE_CHECKING:
    from collections.abc import Callable

    from sampler import SourceSpec, StoreSource, Stream, TrainProgress, TrainSettings


def _specs(entropy: str, entropy_for: list[str], names: tuple[str, ...]) -> "dict[str, SourceSpec]":
    """Read which source each name has: `--entropy SPEC` for all, `--entropy-for NAME=SPEC` for one."""
    from sampler import SourceSpec

    specs = dict.fromkeys(names, entropy)
    for item in entropy_for:
        name, equals, spec = item.partition("=")
        if not equals or not spec:
            raise CommandError(f"--entropy-for {item!r} is not NAME=SOURCE, such as diffusion=STORE.")
        if name not in specs:
            dropout = " (dropout goes with --dropout)" if name == "dropout" else ""
            raise CommandError(
                f"--entropy-for {item!r}: this training draws {', '.join(names)}, but no {name}{dropout}."
            )
        specs[name] = spec
    return {name: SourceSpec.parse(spec) for name, spec in specs.items()}


def _seed(entropy: str, seed: int | None, specs: "dict[str, SourceSpec]") -> int | None:
    """The seed of the software streams that name none of their own."""
    from sampler import SourceSpec

    own = SourceSpec.parse(entropy).seed
    if seed is not None and own is not None and seed != own:
        raise CommandError(f"--seed {seed} contradicts --entropy {entropy}: leave one of them out.")
    if seed is not None and not any(spec.seeded for spec in specs.values()):
        raise CommandError("--seed goes with software noise only: no other source is seeded.")
    return seed if own is None else own


def _sources(
    specs: "dict[str, SourceSpec]", seed: int | None, open_store: "Callable[[str], StoreSource]"
) -> "dict[str, Stream]":
    """Make the sources that are not the software streams of `seed`, one a store or operating system."""
    from sampler import training_stream

    shared: dict[SourceSpec, Stream] = {}
    sources: dict[str, Stream] = {}
    for name, spec in specs.items():
        if spec.seeded:
            if spec.seed not in (None, seed):
                sources[name] = training_stream(name, spec.seed)
            continue
        if spec not in shared:
            shared[spec] = spec.make() if spec.store is None else open_store(spec.store)
        sources[name] = shared[spec]
    return sources


def _widths(text: str) -> list[int]:
    try:
        return [int(width) for width in text.split(",")]
    except ValueError:
        raise CommandError(f"--widths {text!r} is not a list of numbers such as 16,24,32.") from None


def _check_folder(out: Path, resume: bool) -> None:
    if resume or not out.exists():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise CommandError(
            f"{out} is not empty: name a new folder for the checkpoint, or go on with the training in it by --resume."
        )


class _Teller:
    """Shows the progress of a training: a bar, and a line at the end of every epoch (every 250 steps, at most)."""

    def __init__(self, display: ProgressDisplay, steps: int) -> None:
        self._display, self._task = display, display.task("training", steps, "steps")
        self.losses: list[float] = []
        self._told, self._last = 0, None

    def __call__(self, state: "TrainProgress") -> None:
        self.losses.append(state.loss)
        self._task.advance_to(state.step)
        ended = self._last is not None and self._last.epoch != state.epoch
        if state.step == state.steps or (ended and state.step - self._told >= 250):
            recent = self.losses[-100:]
            self._told = state.step
            bits = f"{si(sum(state.bits.values()), 'bit')} of noise"
            recorded = f" from {si(state.recorded, 'bit')} recorded" if state.recorded else ""
            self._display.say(
                f"step {state.step}, epoch {state.epoch}: mean loss of the last {len(recent)} steps "
                f"{sum(recent) / len(recent):.4f}; so far {bits}{recorded}"
            )
        self._last = state


def train(
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint.")],
    dataset: Annotated[
        str,
        typer.Option(
            help="digits (shipped), a folder of pictures (its sub-folders are the labels), or an .npz file."
        ),
    ] = "digits",
    size: Annotated[
        int | None, typer.Option(min=1, help="Pixels a side; without it, what the pictures have.")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey, 3 RGB; without it, what the pictures have.")
    ] = None,
    widths: Annotated[str, typer.Option(help="Channels of the network, one number a level.")] = "32,48,64",
    layers: Annotated[int, typer.Option(min=1, help="Layers of the network at each level.")] = 1,
    dropout: Annotated[float, typer.Option(help="Share of activations that training drops.")] = 0.0,
    process: Annotated[
        Literal["gaussian", "binary"],
        typer.Option(
            help="What noise does to pictures: add normal numbers, or flip their bits (black or white)."
        ),
    ] = "gaussian",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3500,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per step.")] = 64,
    rate: Annotated[float, typer.Option(help="Highest learning rate of the one-cycle schedule.")] = 2e-3,
    ema: Annotated[float, typer.Option(help="How much the average of the weights keeps a step.")] = 0.999,
    save_every: Annotated[
        int,
        typer.Option(min=1, help="Steps from one saved state to the next; an interruption loses no more."),
    ] = 250,
    seed: Annotated[
        int | None, typer.Option(help="Seed of software noise; without one, from the operating system.")
    ] = None,
    entropy: Annotated[
        str,
        typer.Option(
            help="Where the randomness comes from: software (or software:SEED), os, or the folder of a store."
        ),
    ] = "software",
    entropy_for: Annotated[
        list[str] | None,
        typer.Option(
            help="NAME=SOURCE: another source for weights, shuffle, timesteps, diffusion or dropout alone."
        ),
    ] = None,
    conditioning: Annotated[str | None, typer.Option(help=CONDITIONING_HELP)] = None,
    min_entropy: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Use only bits that were assessed to have so much min-entropy."),
    ] = None,
    wait: Wait = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 (faster where the processor has it).")
    ] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on with an interrupted training: the same command, plus this."),
    ] = False,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write the curves as events of TensorBoard, too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Train a class-conditional network and write a checkpoint folder. The bill comes first."""
    import torch

    from entropy import Store, check_conditioning
    from sampler import StoreSource, TrainSettings, architecture_of_widths, load_checkpoint
    from sampler import train as run_training
    from sampler.training import names_of

    _check_folder(out, resume)
    refuse_unwritable(out)
    if threads is not None:
        torch.set_num_threads(threads)
    data = load_told(dataset, size=size, channels=channels)
    architecture = architecture_of_widths(
        _widths(widths),
        image_size=data.size,
        channels=data.channels,
        labels=data.label_count,
        layers=layers,
        dropout=dropout,
    )
    specs = _specs(entropy, entropy_for or [], names_of(architecture))
    settings = TrainSettings(
        out=out,
        steps=steps,
        batch=batch,
        peak_rate=rate,
        ema=ema,
        seed=_seed(entropy, seed, specs),
        precision=precision,
        checkpoint_every=save_every,
        architecture=architecture,
        process=process,
    )
    with contextlib.ExitStack() as stack:

        def open_store(folder: str) -> StoreSource:
            store = stack.enter_context(Store(Path(folder), create=False))
            through = conditioning_of(store, conditioning)
            check_conditioning(store, through)
            return StoreSource(store, through, purpose=f"train {out}", wait=wait, min_entropy=min_entropy)

        sources = _sources(specs, settings.seed, open_store)
        stores = any(isinstance(source, StoreSource) for source in sources.values())
        if not stores and (wait, min_entropy, conditioning) != (None, None, None):
            raise CommandError(
                "--wait, --min-entropy and --conditioning go with a store: name one as --entropy."
            )
        if not as_json:
            _tell_bill(settings, sources, len(data), resume)
        display = stack.enter_context(ProgressDisplay())
        told = _Teller(display, steps)
        run_training(settings, sources, told, data=data, resume=resume, tensorboard=tensorboard)
    checkpoint = load_checkpoint(out)
    loss, drawn = checkpoint.card["loss_curve"][-1][1], checkpoint.card["entropy"]["names"]
    outcome = {
        "checkpoint": str(out),
        "sha256": checkpoint.sha256,
        "steps": steps,
        "loss": sum(told.losses[-100:]) / len(told.losses[-100:]) if told.losses else loss,
        "bits": {name: own["bits"] for name, own in drawn.items()},
        "recorded": sum(own["recorded"] for own in drawn.values()),
    }
    line = "the training was complete already"
    if told.losses:
        line = f"mean loss of the last {len(told.losses[-100:])} steps {outcome['loss']:.4f}"
    answer(as_json, outcome, [f"checkpoint in {out}: {line}"])


def _tell_bill(settings: "TrainSettings", sources: "dict[str, Stream]", images: int, resume: bool) -> None:
    from sampler import training_bill
    from sampler.training import steps_done

    done = steps_done(settings) if resume else 0
    rest = f", {done} of {settings.steps} steps are done" if done else ""
    if done < settings.steps:
        print(f"bill (at most{rest}):\n{training_bill(settings, sources, images=images, done=done)}")

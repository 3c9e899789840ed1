"""`memtj train`: train the digit model."""

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memtj._conditioning import CONDITIONING_HELP, conditioning_of
from memtj._errors import CommandError
from memtj._progress import ProgressDisplay

if TYPE_CHECKING:
    from sampler import Source, TrainProgress, TrainSettings


def _specs(entropy: str, entropy_for: list[str]) -> dict[str, str]:
    """Read which source each name has: `--entropy SPEC` for all, `--entropy-for NAME=SPEC` for one."""
    from sampler import TRAINING_NAMES

    specs = dict.fromkeys(TRAINING_NAMES, entropy)
    for item in entropy_for:
        name, equals, spec = item.partition("=")
        if not equals or not spec or name not in specs:
            raise CommandError(
                f"--entropy-for {item!r} is not NAME=SOURCE with a name of {', '.join(TRAINING_NAMES)}."
            )
        specs[name] = spec
    return specs


def _sources(
    stack: contextlib.ExitStack, specs: dict[str, str], settings: "TrainSettings", conditioning: str | None
) -> "dict[str, Source]":
    """Make one source a spec (a stream of its own a name, where it is software with a seed)."""
    from entropy import Store
    from sampler import LeaseSource, OperatingSystemSource, training_bill, training_stream

    made: dict[str, Source] = {}
    sources: dict[str, Source] = {}
    for name, spec in specs.items():
        kind, _, seed = spec.partition(":")
        if spec == "software" or (name == "dropout" and not settings.architecture.dropout):
            continue
        if kind == "software":
            sources[name] = training_stream(name, _seed(seed))
            continue
        if spec not in made and spec == "os":
            made[spec] = OperatingSystemSource()
        elif spec not in made:
            store = stack.enter_context(Store(Path(spec), create=False))
            conditioner = conditioning_of(store, conditioning)
            bits = training_bill(settings, conditioner)
            lease = stack.enter_context(store.lease(bits, purpose=f"train {settings.out}"))
            made[spec] = LeaseSource(lease, conditioner)
        sources[name] = made[spec]
    return sources


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise CommandError(f"{text!r} is no seed: give a whole number, such as software:7.") from None


def _widths(text: str) -> list[int]:
    try:
        return [int(width) for width in text.split(",")]
    except ValueError:
        raise CommandError(f"--widths {text!r} is not a list of numbers such as 16,24,32.") from None


def train(
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3500,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per step.")] = 64,
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
    widths: Annotated[str, typer.Option(help="Channels of the network, one number a level.")] = "32,48,64",
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 (faster where the processor has it).")
    ] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Train the class-conditional digit model on the shipped digits and write a checkpoint folder."""
    import torch

    from sampler import TrainSettings, architecture_of_widths
    from sampler import train as run_training

    if out.exists() and any(out.iterdir()):
        raise CommandError(f"{out} is not empty: name a new folder for the checkpoint.")
    specs = _specs(entropy, entropy_for or [])
    if seed is not None and "software" not in specs.values():
        raise CommandError("--seed goes with software noise only: bits of a store are not seeded.")
    if threads is not None:
        torch.set_num_threads(threads)
    settings = TrainSettings(
        out=out,
        steps=steps,
        batch=batch,
        seed=seed,
        precision=precision,
        architecture=architecture_of_widths(_widths(widths)),
    )
    recent: list[float] = []
    with ProgressDisplay() as display, contextlib.ExitStack() as stack:
        sources = _sources(stack, specs, settings, conditioning)
        task = display.task("training", steps, "steps")

        def progress(state: "TrainProgress") -> None:
            recent.append(state.loss)
            task.advance_to(state.step)
            if state.step % 250 == 0:
                display.say(
                    f"step {state.step}: mean loss of the last 250 steps {sum(recent[-250:]) / 250:.4f}"
                )

        run_training(settings, sources, progress)
    outcome = {"checkpoint": str(out), "steps": steps, "loss": sum(recent[-100:]) / len(recent[-100:])}
    if as_json:
        print(json.dumps(outcome))
    else:
        print(f"checkpoint in {out}: mean loss of the last 100 steps {outcome['loss']:.4f}")

"""`memtj train`: train the digit model."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memtj._conditioning import CONDITIONING_HELP, conditioning_of
from memtj._errors import CommandError
from memtj._progress import ProgressDisplay

if TYPE_CHECKING:
    from sampler import Source, TrainProgress, TrainSettings


@contextlib.contextmanager
def _source(entropy: str, settings: "TrainSettings", conditioning: str | None) -> Iterator["Source | None"]:
    from entropy import Store
    from sampler import LeaseSource, OperatingSystemSource, training_bill

    if entropy == "software":
        yield None
    elif entropy == "os":
        yield OperatingSystemSource()
    else:
        with Store(Path(entropy), create=False) as store:
            conditioner = conditioning_of(store, conditioning)
            bits = training_bill(settings, conditioner)
            with store.lease(bits, purpose=f"train {settings.out}") as lease:
                yield LeaseSource(lease, conditioner)


def train(
    out: Annotated[Path, typer.Argument(help="Folder for the checkpoint.")],
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps.")] = 3500,
    batch: Annotated[int, typer.Option(min=1, help="Pictures per step.")] = 64,
    seed: Annotated[
        int | None, typer.Option(help="Seed of software noise; without one, from the operating system.")
    ] = None,
    entropy: Annotated[
        str, typer.Option(help="Where the randomness comes from: software, os, or the folder of a store.")
    ] = "software",
    conditioning: Annotated[str | None, typer.Option(help=CONDITIONING_HELP)] = None,
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 (faster where the processor has it).")
    ] = "float32",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of torch.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON line.")] = False,
) -> None:
    """Train the class-conditional digit model on the shipped digits and write a checkpoint folder."""
    import torch

    from sampler import TrainSettings
    from sampler import train as run_training

    if out.exists() and any(out.iterdir()):
        raise CommandError(f"{out} is not empty: name a new folder for the checkpoint.")
    if entropy not in ("software", "os") and seed is not None:
        raise CommandError("--seed goes with --entropy software only: bits of a store are not seeded.")
    if threads is not None:
        torch.set_num_threads(threads)
    settings = TrainSettings(out=out, steps=steps, batch=batch, seed=seed, precision=precision)
    recent: list[float] = []
    with ProgressDisplay() as display, _source(entropy, settings, conditioning) as source:
        task = display.task("training", steps, "steps")

        def progress(state: "TrainProgress") -> None:
            recent.append(state.loss)
            task.advance_to(state.step)
            if state.step % 250 == 0:
                display.say(
                    f"step {state.step}: mean loss of the last 250 steps {sum(recent[-250:]) / 250:.4f}"
                )

        run_training(settings, source, progress)
    outcome = {"checkpoint": str(out), "steps": steps, "loss": sum(recent[-100:]) / len(recent[-100:])}
    if as_json:
        print(json.dumps(outcome))
    else:
        print(f"checkpoint in {out}: mean loss of the last 100 steps {outcome['loss']:.4f}")

"""`memtj demo`: the whole path in one command."""

import math
from pathlib import Path
from typing import Annotated

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._options import AsJson
from memtj._quantities import duration, si


def _default_out() -> Path:
    for number in range(1, 1000):
        out = Path("memtj-demo" if number == 1 else f"memtj-demo-{number}")
        if not out.exists():
            return out
    raise CommandError("there are a thousand folders called memtj-demo-…: name another one with --out.")


def demo(
    out: Annotated[
        Path | None, typer.Option(help="New folder for everything; memtj-demo, memtj-demo-2 … by default.")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 40,
    bench: Annotated[
        Path | None, typer.Option(help="Bench file of a real lab; without one, a simulated lab is started.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device of the simulated lab: A, B, C (the default), D, or a device file (TOML)."),
    ] = None,
    conditioning: Annotated[
        str, typer.Option(help="Between bits and noise: none, xor2, mask, toeplitz …")
    ] = "xor2",
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the simulated lab; from the operating system by default."),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Steps of the reverse process (DDPM).")] = 125,
    microbatch: Annotated[
        int, typer.Option(min=1, help="Pictures at a time; part of a picture's identity.")
    ] = 10,
    calibrate: Annotated[bool, typer.Option(help="Trim each cell to P = ½ before recording.")] = True,
    voltage: Annotated[
        float | None, typer.Option(help="Write pulse, volts; the recorder's by default.")
    ] = None,
    baseline: Annotated[
        bool, typer.Option("--baseline", help="Draw the same labels with software noise too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Record bits from an array of ME-MTJs (simulated by default), draw digits with them meanwhile, and report."""
    from memtj.demo import DEFAULT_DEVICE, DemoSettings, run_demo

    if bench is not None and seed is not None:
        raise CommandError("--seed belongs to the simulated lab: leave it out with --bench.")
    if bench is not None and device is not None:
        raise CommandError("--device belongs to the simulated lab: leave it out with --bench.")
    if voltage is not None and not math.isfinite(voltage):
        raise CommandError(f"--voltage {voltage} is no voltage: give a finite number of volts.")
    settings = DemoSettings(
        out=out or _default_out(),
        images=images,
        bench=bench,
        device=device or DEFAULT_DEVICE,
        conditioning=conditioning,
        seed=seed,
        steps=steps,
        microbatch=microbatch,
        calibrate=calibrate,
        voltage=voltage,
        baseline=baseline,
    )
    summary = run_demo(settings)
    origin = "simulated array" if summary["simulated"] else "physical array"
    line = (
        f"{summary['images']} pictures from {si(summary['bits_consumed'], 'bit')} of a {origin} in "
        f"{duration(summary['seconds'])}, raw bits {summary['verdict']} "
        f"({summary['min_entropy']:.3f} bit of min-entropy each): see {settings.out / 'images.png'} and "
        f"{settings.out / 'report.html'}"
    )
    answer(as_json, summary, [line])

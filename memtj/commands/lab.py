"""`memtj lab`: serve the simulated laboratory."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from memtj._options import ExitWithParent


def lab(
    file: Annotated[
        Path | None,
        typer.Argument(help="Lab file (TOML); without one, a 64 × 64 array board on a TCP socket."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seed of the simulated devices: the same one gives the same bits again. Without one, the state's, "
            "or the operating system's.",
        ),
    ] = None,
    pace: Annotated[
        Literal["fast", "real"] | None,
        typer.Option(help="fast: as fast as this computer simulates; real: as slow as the settings say."),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Device of every box: one that is shipped (A, B, C, …) or a device file (TOML)."),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="File that keeps the magnetisation from one run of the lab to the next."),
    ] = None,
    describe: Annotated[
        bool, typer.Option("--describe", help="Say what the devices are, and end: nothing is served.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready.")] = False,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Serve the simulated lab on this computer until Ctrl-C, and print the VISA resource of each of its boxes."""
    import mock_hw
    from memtj._labs import own_file

    if describe:
        _print(mock_hw.describe(file, device=device), as_json)
        return
    mock_hw.serve(
        file,
        json=as_json,
        seed=seed,
        pace=pace,
        device=device,
        state=state,
        exit_with_stdin=exit_with_parent,
        publish=own_file(),
    )


def _print(devices: dict[str, list[tuple[str, str]]], as_json: bool) -> None:
    """Print what the device of each box is, as a table or as one JSON line."""
    if as_json:
        print(json.dumps({name: dict(rows) for name, rows in devices.items()}, ensure_ascii=False))
        return
    for name, rows in devices.items():
        print(f"{name}:")
        wide = max(len(quantity) for quantity, _ in rows)
        for quantity, value in rows:
            print(f"  {quantity:{wide}}  {value}")

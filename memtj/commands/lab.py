"""`memtj lab`: serve the simulated laboratory."""

from pathlib import Path
from typing import Annotated

import typer


def lab(
    file: Annotated[
        Path | None,
        typer.Argument(help="Lab file (TOML); without one, a 64 × 64 array board on a TCP socket."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the simulated devices; without one, from the operating system."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line when ready.")] = False,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when standard input closes.")
    ] = False,
) -> None:
    """Serve the simulated lab on this computer until Ctrl-C, and print the VISA resource of each of its boxes."""
    import mock_hw

    mock_hw.serve(file, json=as_json, seed=seed, exit_with_stdin=exit_with_parent)

"""`memtj store`: what a store holds, and whether it is sound."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from memtj._errors import CommandError
from memtj._progress import ProgressDisplay

app = typer.Typer(help="What a store holds, and whether it is sound.", no_args_is_help=True)

StorePath = Annotated[Path, typer.Argument(help="Folder of the store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("ls")
def ls(path: StorePath, as_json: AsJson = False) -> None:
    """List the buffers of a store and its accounts."""
    from entropy import Store

    with Store(path, create=False) as store:
        buffers, accounts = store.buffers(), store.accounts()
    if as_json:
        rows = [{**asdict(buffer), "path": str(buffer.path)} for buffer in buffers]
        print(json.dumps({"store": str(path), "buffers": rows, "accounts": asdict(accounts)}))
        return
    console = Console(soft_wrap=True)
    table = Table(
        "buffer", "created (UTC)", "origin", "state", "blocks", "bits", "ones", box=None, pad_edge=False
    )
    for buffer in buffers:
        state = "complete" if buffer.complete else "live" if buffer.live else "interrupted"
        table.add_row(
            buffer.path.name,
            buffer.created[:19],
            "simulated" if buffer.simulated else "device",
            state,
            f"{buffer.blocks:,}",
            f"{buffer.bits:,}",
            f"{buffer.ones / buffer.bits:.5f}" if buffer.bits else "",
        )
    console.print(table)
    totals = Table("account", "bits", box=None, pad_edge=False)
    totals.columns[1].justify = "right"
    for name, bits in asdict(accounts).items():
        totals.add_row(name, f"{bits:,}")
    console.print()
    console.print(totals)


@app.command("verify")
def verify(path: StorePath, as_json: AsJson = False) -> None:
    """Check every block against its row and the ledger and name what is wrong; exit code 1 if anything is."""
    from entropy import Store

    with Store(path, create=False) as store, ProgressDisplay() as display:
        total = sum(buffer.bytes for buffer in store.buffers())
        task = display.task("verifying", total, "B")
        report = store.verify(lambda done, _: task.advance_to(done))
    if as_json:
        print(json.dumps({"store": str(path), "ok": report.ok, **asdict(report)}))
    else:
        for note in report.notes:
            print(f"note: {note}")
        for problem in report.problems:
            print(f"problem: {problem}")
        verdict = "everything is sound" if report.ok else f"{len(report.problems)} problems"
        print(f"{report.blocks:,} blocks, {report.bits:,} bits: {verdict}.")
    if not report.ok:
        raise typer.Exit(1)


@app.command("adopt")
def adopt(
    path: StorePath,
    moved: Annotated[
        bool, typer.Option("--moved", help="The store at the old place is gone: free bits stay free.")
    ] = False,
    copied: Annotated[
        bool,
        typer.Option(
            "--copied", help="This is a copy: its free bits are burned here, so that none is used twice."
        ),
    ] = False,
) -> None:
    """Open a store that was moved or copied from another place: say which it was."""
    import entropy

    if moved == copied:
        raise CommandError(
            "say exactly one of --moved (the old store is gone) and --copied (it still exists)."
        )
    entropy.adopt(path, moved=moved)
    print(f"{path} belongs here now; its free bits {'stayed free' if moved else 'were burned'}.")

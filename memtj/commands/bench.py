"""`memtj bench`: is everything reachable and what it should be; switch everything off."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from instruments import Finding

app = typer.Typer(help="Check the bench, or switch everything off.", no_args_is_help=True)

BenchPath = Annotated[Path, typer.Argument(help="Bench file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _report(findings: "Sequence[Finding]", as_json: bool) -> None:
    well = all(finding.ok for finding in findings)
    if as_json:
        print(json.dumps({"ok": well, "findings": [asdict(finding) for finding in findings]}))
    else:
        for finding in findings:
            print(
                f"{'ok   ' if finding.ok else 'WRONG'} {finding.instrument}: {finding.subject}: {finding.detail}"
            )
    if not well:
        raise typer.Exit(1)


@app.command("check")
def check(file: BenchPath, as_json: AsJson = False) -> None:
    """Look at every instrument without switching anything on; exit code 1 unless all is well."""
    from instruments import Bench

    _report(Bench.from_toml(file).check(), as_json)


@app.command("off")
def off(file: BenchPath, as_json: AsJson = False) -> None:
    """Switch everything off, whoever switched it on, and ask the instruments whether it is."""
    from instruments import Bench

    _report(Bench.from_toml(file).off(), as_json)

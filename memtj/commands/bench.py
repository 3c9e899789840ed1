"""`memtj bench`: is everything reachable and what it should be; switch everything off."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from memtj._answer import answer
from memtj._options import AsJson, BenchPath

if TYPE_CHECKING:
    from instruments import Finding

app = typer.Typer(help="Check the bench, or switch everything off.", no_args_is_help=True)


def _report(findings: "Sequence[Finding]", as_json: bool) -> None:
    well = all(finding.ok for finding in findings)
    values = {"ok": well, "findings": [asdict(finding) for finding in findings]}
    lines = [
        f"{'ok   ' if finding.ok else 'WRONG'} {finding.instrument}: {finding.subject}: {finding.detail}"
        for finding in findings
    ]
    answer(as_json, values, lines)
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

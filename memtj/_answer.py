"""What a command prints when it is done: one JSON object for scripts, or lines for people."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def answer(as_json: bool, values: Mapping[str, Any], lines: Iterable[str], *, allow_nan: bool = True) -> None:
    """Print `values` (paths as texts) or `lines`; those are only made where they are printed.

    Without `allow_nan` a number that JSON does not know raises ValueError.
    """
    if as_json:
        print(json.dumps(values, default=str, allow_nan=allow_nan), flush=True)
        return
    for line in lines:
        print(line, flush=True)


def plain(items: "Iterable[DataclassInstance]") -> list[dict[str, Any]]:
    """Give dataclasses as dicts."""
    return [asdict(item) for item in items]


def columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> str:
    """Put cells below each other, two blanks apart; `right`: the columns of numbers."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )

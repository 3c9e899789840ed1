"""What a command prints when it is done: one JSON object for scripts, or lines for people."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def answer(as_json: bool, values: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print `values` (paths as texts) or `lines`; those are only made where they are printed."""
    if as_json:
        print(json.dumps(values, default=str), flush=True)
        return
    for line in lines:
        print(line, flush=True)


def plain(items: "Iterable[DataclassInstance]") -> list[dict[str, Any]]:
    """Give dataclasses as dicts."""
    return [asdict(item) for item in items]

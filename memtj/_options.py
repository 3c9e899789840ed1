"""What several commands read from their options: working points, numbers of bits, sizes, durations, blocks."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer

# The working point, of which what is left out is the procedure's own, or a tuning's.
Voltage = Annotated[float | None, typer.Option(help="Write pulse, volts.")]
Width = Annotated[float | None, typer.Option(help="Write pulse, seconds.")]
Period = Annotated[float | None, typer.Option(help="From pulse to read, seconds.")]
ResetVoltage = Annotated[float | None, typer.Option(help="Reset pulse, volts.")]
ResetWidth = Annotated[float | None, typer.Option(help="Reset pulse, seconds.")]
ReadVoltage = Annotated[float | None, typer.Option(help="Read voltage, volts.")]
Settle = Annotated[float | None, typer.Option(help="Read voltage to reading, seconds.")]
MagneticField = Annotated[
    float | None, typer.Option("--field", help="Of the bench's magnet, tesla; ramped, and down at every end.")
]
POINT_UNITS = {
    "voltage": "V", "width": "s", "period": "s", "reset_voltage": "V", "reset_width": "s", "read_voltage": "V",
    "settle": "s",
}  # fmt: skip

Mode = Literal["reset", "toggle"]
Form = Literal["packed", "bytes", "npy"]  # of a file of bits

StorePath = Annotated[Path, typer.Argument(help="Folder of the store.")]
BenchPath = Annotated[Path, typer.Argument(metavar="BENCH", help="Bench file (TOML).")]
WireLogPath = Annotated[
    Path | None,
    typer.Option(
        "--wire-log", help="New file for everything that is said to the boxes and by them, with its time."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")]
ExitWithParent = Annotated[bool, typer.Option("--exit-with-parent", help="End when standard input closes.")]

# What burns or deletes is only said without it, and ends with exit code 1: no command prompts.
Yes = Annotated[
    bool, typer.Option("--yes", help="Do it; without, it is only said what would be burned or deleted.")
]
NOTHING_CHANGED = "nothing was changed: --yes does it."


def given(**options: Any) -> dict[str, Any]:
    """Leave out the options that were left out."""
    return {name: value for name, value in options.items() if value is not None}


_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {prefix + end: 1000**n for n, prefix in enumerate(["", "k", "M", "G", "T"]) for end in ("", "B")}


def bits_option(text: str | int) -> int:
    """Read a number of bits such as 200000000 or 2e8; typer passes defaults through here too."""
    if isinstance(text, int) or text.isdecimal():
        return int(text)
    try:
        if (value := float(text)) == int(value) and value >= 0:
            return int(value)
    except (ValueError, OverflowError):
        pass
    _refuse(text, "number of bits from 0 up", "200000000 or 2e8")


def duration_option(text: str | float) -> float:
    """Read a duration such as 90s, 12h, 7d or 2w; in seconds."""
    return _scaled(text, _SECONDS, "duration", "90s, 12h, 7d or 2w")


def bytes_option(text: str | int) -> int:
    """Read a size such as 500M, 100G, 100GB or 2T bytes."""
    return int(_scaled(text, _BYTES, "size", "500M, 100G or 2T"))


def wait_option(text: str | float) -> float:
    """Read seconds to wait, a finite number from 0 up."""
    try:
        if 0 <= (seconds := float(text)) < float("inf"):
            return seconds
    except ValueError:
        pass
    _refuse(str(text), "number of seconds from 0 up", "60")


Wait = Annotated[
    float | None,
    typer.Option(parser=wait_option, help="Seconds to wait for bits that are still being recorded."),
]


def blocks_option(text: str) -> tuple[int, int]:
    """Read a range of blocks such as 0:99 (both ends included) or 7."""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        _refuse(text, "range of blocks", "0:99 (both included) or 7")
    return int(match[1]), int(match[2] or match[1])


def _scaled(text: str | float, units: Mapping[str, int], what: str, example: str) -> float:
    """Read a number with its unit; one that typer has read already is taken as it is."""
    if not isinstance(text, str):
        return text
    match = re.fullmatch(rf"(\d+\.?\d*|\.\d+) ?({'|'.join(units)})", text)
    return float(match[1]) * units[match[2]] if match else _refuse(text, what, example)


def _refuse(text: str, what: str, example: str) -> NoReturn:
    raise typer.BadParameter(f"{text!r} is no {what}, such as {example}") from None

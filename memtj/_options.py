"""What several commands read from their options: working points, numbers of bits, sizes, durations, blocks."""

import re
from pathlib import Path
from typing import Annotated, Literal

import typer

# The working point, of which what is left out is the procedure's own, or a tuning's.
Voltage = Annotated[float | None, typer.Option(help="Write pulse, volts.")]
Width = Annotated[float | None, typer.Option(help="Write pulse, seconds.")]
Period = Annotated[float | None, typer.Option(help="From pulse to read, seconds.")]
ResetVoltage = Annotated[float | None, typer.Option(help="Reset pulse, volts.")]
ResetWidth = Annotated[float | None, typer.Option(help="Reset pulse, seconds.")]
ReadVoltage = Annotated[float | None, typer.Option(help="Read voltage, volts.")]
Settle = Annotated[float | None, typer.Option(help="Read voltage to reading, seconds.")]

Mode = Literal["reset", "toggle"]
Form = Literal["packed", "bytes", "npy"]  # of a file of bits

StorePath = Annotated[Path, typer.Argument(help="Folder of the store.")]
BenchPath = Annotated[Path, typer.Argument(metavar="BENCH", help="Bench file (TOML).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the outcome as one JSON object.")]
ExitWithParent = Annotated[bool, typer.Option("--exit-with-parent", help="End when standard input closes.")]

# What burns or deletes is only said without it, and ends with exit code 1: no command prompts.
Yes = Annotated[
    bool, typer.Option("--yes", help="Do it; without, it is only said what would be burned or deleted.")
]
NOTHING_CHANGED = "nothing was changed: --yes does it."

_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def bits_option(text: str | int) -> int:
    """Read a number of bits such as 200000000 or 2e8; typer passes defaults through here too."""
    if isinstance(text, int):
        return text
    try:
        value = float(text)
        if value != int(value) or value < 0:
            raise ValueError
        return int(text) if text.isdigit() else int(value)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is no number of bits from 0 up, such as 200000000 or 2e8"
        ) from None


def duration_option(text: str | float) -> float:
    """Read a duration such as 90s, 12h, 7d or 2w; in seconds."""
    if isinstance(text, int | float):
        return float(text)
    match = re.fullmatch(r"([0-9.]+) ?(s|min|h|d|w)", text)
    try:
        return (
            float(match[1]) * _SECONDS[match[2]] if match else _refuse(text, "duration", "90s, 12h, 7d or 2w")
        )
    except ValueError:
        return _refuse(text, "duration", "90s, 12h, 7d or 2w")


def wait_option(text: str | float) -> float:
    """Read seconds to wait, a finite number from 0 up."""
    try:
        if 0 <= (seconds := float(text)) < float("inf"):
            return seconds
    except ValueError:
        pass
    return _refuse(str(text), "number of seconds from 0 up", "60")


Wait = Annotated[
    float | None,
    typer.Option(parser=wait_option, help="Seconds to wait for bits that are still being recorded."),
]


def bytes_option(text: str | int) -> int:
    """Read a size such as 500M, 100G or 2T bytes."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r"([0-9.]+) ?([kMGT]?)B?", text)
    try:
        return int(float(match[1]) * _BYTES[match[2]]) if match else _refuse(text, "size", "500M, 100G or 2T")
    except ValueError:
        return _refuse(text, "size", "500M, 100G or 2T")


def blocks_option(text: str) -> tuple[int, int]:
    """Read a range of blocks such as 0:99 (both ends included) or 7."""
    match = re.fullmatch(r"(\d+)(?::(\d+))?", text)
    if match is None or int(match[2] or match[1]) < int(match[1]):
        return _refuse(text, "range of blocks", "0:99 (both included) or 7")
    return int(match[1]), int(match[2] or match[1])


def _refuse(text: str, what: str, example: str):
    raise typer.BadParameter(f"{text!r} is no {what}, such as {example}")

"""A Python process beside a benchmark."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def python(*arguments: str) -> Iterator[str]:
    """Run `python ARGUMENTS` until the context is left; gives the first line that it prints."""
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()

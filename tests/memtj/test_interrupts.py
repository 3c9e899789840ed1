"""Ctrl-C and SIGTERM are heard wherever the interpreter stands when they come."""

import signal
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memtj._interrupts import hear_interrupts

SIGNALS = [pytest.param(number, id=number.name) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.fixture
def heard() -> Iterator[list[int]]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    told = sys.unraisablehook
    yield hear_interrupts()
    sys.unraisablehook = told
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_at_once_where_an_exception_is_heard(heard: list[int], number: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
    assert heard == [number]


@pytest.mark.parametrize("number", SIGNALS)
def test_again_after_a_callback_swallowed_it(heard: list[int], number: int, wait_until: Callable) -> None:
    referred = set()
    weak = weakref.ref(referred, lambda _: signal.raise_signal(number))
    del referred
    with pytest.raises(KeyboardInterrupt):
        wait_until(lambda: False)
    assert weak() is None
    assert heard == [number]


@pytest.mark.parametrize("number", SIGNALS)
def test_never_within_the_import_system(heard: list[int], number: int, wait_until: Callable) -> None:
    seen: list[str] = []
    importing = compile("come(number)\nseen.append('went on')", "<frozen importlib._bootstrap>", "exec")

    def come(number: int) -> None:
        handler = signal.getsignal(number)
        assert callable(handler)
        handler(number, sys._getframe(1))

    exec(importing, {"come": come, "number": number, "seen": seen})
    assert (seen, heard) == (["went on"], [])
    with pytest.raises(KeyboardInterrupt):
        wait_until(lambda: False)
    assert heard == [number]


def test_the_status_is_ours_where_a_text_was_being_executed(tmp_path: Path) -> None:
    (tmp_path / "ended.py").write_text(
        "import sys\nfrom memtj import _cli\n"
        "def app(arguments, prog_name):\n    exec('import signal; signal.raise_signal(signal.SIGTERM)')\n"
        "_cli.app = app\nsys.exit(_cli.run([]))\n"
    )
    asked = [sys.executable, "-m", "ended"]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (143, "memtj: terminated.\n")


def test_other_exceptions_that_nobody_hears_are_told_as_ever() -> None:
    script = (
        "from memtj._interrupts import hear_interrupts\n"
        "class Silent:\n    def __del__(self):\n        raise ValueError('lost')\n"
        "hear_interrupts()\nSilent()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert "ValueError: lost" in done.stderr

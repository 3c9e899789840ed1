"""Lines of progress: what is counted is whole where it is whole, and a rate needs time."""

import time

import pytest

from memtj._progress import ProgressDisplay


def test_what_was_done_already_has_no_rate(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay() as display:
        task = display.task("sampling", 60, "pictures")
        task.advance_to(10)
        time.sleep(0.2)
        task.advance_to(60)
    first, last = capsys.readouterr().err.splitlines()
    assert first == "sampling: 10 pictures of 60 pictures"
    assert last.startswith("sampling: 60 pictures of 60 pictures, ")
    assert last.endswith(" pictures/s")

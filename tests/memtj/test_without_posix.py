"""Labs use Windows: everything is imported and works where nothing of POSIX is there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="nothing is to be taken away there")
def test_every_module_is_imported_and_a_store_and_a_lab_work(tmp_path: Path, patience: Callable) -> None:
    script = Path(__file__).with_name("without_posix.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path], capture_output=True, text=True, timeout=patience(60)
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = done.stdout.splitlines()
    assert int(first.split()[0]) > 200
    assert last == "done"

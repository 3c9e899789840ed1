import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def test_a_foreign_package_of_our_name_is_named(tmp_path: Path, patience: Callable[[float], float]) -> None:
    foreign = tmp_path / "instruments"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "memtj", "--version"],
        env=environment,
        cwd=tmp_path,  # not the checkout, which would come first
        capture_output=True,
        text=True,
        timeout=patience(60),
    )
    assert done.returncode == 1
    assert str(foreign) in done.stderr
    assert "environment of its own" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1

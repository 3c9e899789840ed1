"""What the package costs those who only look at a store."""

import subprocess
import sys


def test_opening_a_store_waits_for_no_compiler():
    """Loading numba or scipy.stats takes longer than everything else together; each command would pay that."""
    said = subprocess.run(
        [sys.executable, "-c", "import entropy, sys; print('numba' in sys.modules, 'scipy.stats' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout.split() == ["False", "False"]

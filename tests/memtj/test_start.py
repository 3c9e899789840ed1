"""What the command line loads to say its help and to list a store: seconds that every start of it costs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import entropy
import instruments
from entropy import Store
from memtj._cli import COMMANDS, imported

_MODULES = """
import sys
from memtj.__main__ import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""
_OURS = {"entropy", "sampler", "instruments", "drivers", "mock_hw"}
_HEAVY = {"numba", "scipy", "torch", "diffusers", "matplotlib", "pyvisa", "pymeasure"}


def _python(
    *arguments: object, environment: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


def _loaded(*arguments: object) -> set[str]:
    """The packages that a command loads."""
    done = _python("-c", _MODULES, *arguments)
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_help_loads_neither_numbers_nor_packages_of_ours():
    loaded = _loaded("--help")
    assert "typer" in loaded
    assert loaded & {*_OURS, *_HEAVY, "numpy", "h5py", "pydantic"} == set()


def test_listing_a_store_loads_the_store_alone(tmp_path: Path):
    Store(tmp_path / "store").close()
    loaded = _loaded("store", "ls", tmp_path / "store")
    assert "entropy" in loaded
    assert loaded & {*_OURS, *_HEAVY, "numpy", "h5py", "rich"} == {"entropy"}


def test_bench_and_lab_load_what_they_need():
    """`memtj bench off` is wanted at once; and every lab of these tests pays for its start."""
    code = (
        "import sys; from instruments import Bench; print(*sys.modules); import mock_hw; print(*sys.modules)"
    )
    done = _python("-c", code)
    assert done.returncode == 0, done.stderr
    bench, lab = (set(line.split()) for line in done.stdout.splitlines())
    assert bench & {*_HEAVY, "pandas", "h5py", "pymeasure.experiment"} == {"pyvisa", "pymeasure"}
    assert lab & {"scipy.special", "scipy.linalg", "threadpoolctl"} == {"scipy.special"}


@pytest.mark.parametrize("package", [entropy, instruments])
def test_every_public_name_is_there_when_it_is_asked_for(package):
    assert set(package.__all__) <= set(dir(package))
    code = f"from {package.__name__} import *; print(*(name for name in dir() if name[0] != '_'))"
    done = _python("-W", "error", "-c", code)
    assert set(done.stdout.split()) == set(package.__all__), done.stderr
    assert not hasattr(package, "nothing")


def test_modules_are_found_in_their_packages():
    assert entropy.conditioning.Xor is entropy.Xor
    assert instruments.procedures.RecordBits.__name__ == "RecordBits"


def _policy(**environment: str) -> str:
    """What OMP_WAIT_POLICY is once `main` has run."""
    code = _MODULES.replace("print(*sys.modules", "import os; print(os.environ['OMP_WAIT_POLICY']")
    done = _python("-c", code, "--version", environment={**_without_policy(), **environment})
    return done.stderr.strip()


def _without_policy() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }


def test_threads_do_not_spin_for_each_other_unless_the_user_says_so():
    assert _policy() == "PASSIVE"
    assert _policy(OMP_WAIT_POLICY="ACTIVE") == "ACTIVE"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch brings another OpenMP")
def test_torch_is_loaded_by_a_command_after_its_threads_were_told(tmp_path: Path):
    """torch's OpenMP tells how often its threads look before they sleep; the training ends where its data are missing.

    The policy that it tells is PASSIVE where none is set, too, and threads spin 300,000 times then.
    """
    done = _python(
        *("-m", "memtj", "train", tmp_path / "out", "--dataset", tmp_path / "none.npz"),
        environment={**_without_policy(), "OMP_DISPLAY_ENV": "VERBOSE"},
    )
    assert "none.npz" in done.stderr
    assert set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr)) == {"0"}


def test_the_help_says_of_each_command_what_its_own_help_begins_with():
    for name, summary in COMMANDS.items():
        command = imported(name)
        assert command.name == name
        assert " ".join(command.help.partition("\n\n")[0].split()) == summary

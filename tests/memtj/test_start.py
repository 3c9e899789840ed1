"""What the command line loads to say its help and to list a store: seconds that every start of it costs."""

import subprocess
import sys
from pathlib import Path

import memtj.commands
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


def _loaded(*arguments: object) -> set[str]:
    """The packages that a command loads."""
    done = subprocess.run(
        [sys.executable, "-c", _MODULES, *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stderr.split()}


def test_help_loads_neither_numbers_nor_packages_of_ours():
    loaded = _loaded("--help")
    assert "typer" in loaded
    assert not loaded & {*_OURS, *_HEAVY, "numpy", "h5py", "pydantic"}


def test_listing_a_store_loads_the_store_alone(tmp_path: Path):
    Store(tmp_path / "store").close()
    loaded = _loaded("store", "ls", tmp_path / "store")
    assert "entropy" in loaded
    assert not loaded & {*_OURS - {"entropy"}, *_HEAVY}


def test_the_help_says_of_each_command_what_its_own_help_begins_with():
    folder = Path(memtj.commands.__file__).parent
    assert sorted(COMMANDS) == sorted(file.stem for file in folder.glob("[!_]*.py"))
    for name, summary in COMMANDS.items():
        command = imported(name)
        assert command.name == name
        assert " ".join(command.help.partition("\n\n")[0].split()) == summary

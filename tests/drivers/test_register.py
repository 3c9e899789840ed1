"""Which names a bench file may use for drivers."""

import sys

import pytest
from pymeasure.instruments.keithley import Keithley2400

from drivers import ArrayBoard, UnknownDriver, identify, resolve


def test_names_that_may_be_used():
    assert resolve("ArrayBoard") is ArrayBoard
    assert resolve("drivers.ArrayBoard") is ArrayBoard
    assert resolve("pymeasure.instruments.keithley.Keithley2400") is Keithley2400


@pytest.mark.parametrize(
    "name",
    [
        "", "Arrayboard", "os.system", "antigravity", "this.s", "pymeasure.instruments", "pymeasure.instruments.",
        "pymeasure.instruments.keithley", "pymeasure.instruments.nothing.Here", "pymeasure.log.console_log",
        "pymeasure.instruments.validators.strict_range",
    ],
)  # fmt: skip
def test_nothing_else_is_imported(name: str):
    before = set(sys.modules)
    with pytest.raises(UnknownDriver):
        resolve(name)
    assert not {module for module in set(sys.modules) - before if not module.startswith("pymeasure")}


def test_an_entry_point_brings_a_driver(tmp_path, monkeypatch):
    (tmp_path / "lab_of_ours.py").write_text(
        "from pymeasure.instruments import Instrument\nclass Box(Instrument): pass\nnot_a_driver = 3\n"
    )
    info = tmp_path / "lab_of_ours-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-of-ours\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[memtj.drivers]\nbox = lab_of_ours:Box\nwrong = lab_of_ours:not_a_driver\ngone = nowhere:Box\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert resolve("box").__name__ == "Box"
    with pytest.raises(UnknownDriver, match="not a pymeasure Instrument"):
        resolve("wrong")
    with pytest.raises(UnknownDriver, match="cannot be imported"):
        resolve("gone")


@pytest.mark.parametrize(
    ("identity", "driver"),
    [
        ("Maker,ARRAY-BOARD,1,1.0", ArrayBoard),
        ("Maker, array-board mk 2 ,1,1.0", ArrayBoard),
        ("ARRAY-BOARD,Other,1,1.0", None),
        ("KEITHLEY INSTRUMENTS INC.,MODEL 2400,1,C30", None),
        ("ARRAY-BOARD", None),
    ],
)
def test_identities(identity: str, driver: type | None):
    assert identify(identity) is driver

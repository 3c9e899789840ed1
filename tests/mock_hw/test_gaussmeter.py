"""A simulated gaussmeter in the field of a magnet: pymeasure's own class reads it in every unit and range."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymeasure.instruments.lakeshore import LakeShore425

from mock_hw import Lab, LabError, LabSettings
from mock_hw.boxes.lakeshore_425._commands import _engineering
from mock_hw.testing import BoardClient

TAU, TESLA_PER_AMPERE = 0.005, 0.02
COIL = {"field_per_ampere": TESLA_PER_AMPERE, "resistance": 2.0, "inductance": 2.0 * TAU}
SETTINGS = {
    "magnets": {"coil": COIL},
    "boxes": {
        "supply": {"kind": "kepco-bop", "magnet": "coil"},
        "gaussmeter": {"kind": "lakeshore-425", "magnet": "coil", "serial_number": "4250022"},
    },
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def meter(lab: Lab) -> Iterator[Any]:
    lab.power_cycle()
    box: Any = LakeShore425(
        lab.resources["gaussmeter"],
        visa_library="@py",
        read_termination="\n",
        write_termination="\n",
        timeout=10_000,
    )
    yield box
    box.write("ZCLEAR")
    box.adapter.close()


def magnetise(lab: Lab, amperes: float) -> None:
    """Have a steady current in the coil."""
    with BoardClient(lab.resources["supply"]) as supply:
        assert supply.errors(f"FUNC:MODE CURR;:VOLT 36;:CURR {amperes};:OUTP 1") == []
    time.sleep(20 * TAU)


def test_pymeasures_gaussmeter_sets_and_reads_back(meter: Any) -> None:
    for name, values in {
        "unit": ("T", "Oe", "A/m", "G"),
        "range": (35, 350, 3500, 35000),
        "mode": ((2, 1, 1), (1, 0, 2), (1, 1, 1)),
    }.items():
        for value in values:
            setattr(meter, name, value)
            assert getattr(meter, name) == value, name
    for wide, band in ((True, 1), (False, 2)):
        meter.dc_mode(wide)
        assert meter.mode == (1, 0, band)
        meter.ac_mode(wide)
        assert meter.mode == (2, 1, band)
    assert meter.ask("AUTO?").strip() == "0"
    meter.auto_range()
    assert meter.ask("AUTO?").strip() == "1"
    assert meter.ask("*IDN?;TYPE?").strip() == "LSCI,MODEL425,4250022,1.0;40"


def test_it_reads_the_field_of_the_supply_in_every_unit(lab: Lab, meter: Any) -> None:
    for amperes in (0.0, 0.0625, -0.5, 5.0, 12.0):
        magnetise(lab, amperes)
        tesla = amperes * TESLA_PER_AMPERE
        for unit, in_one in (("G", 1e-4), ("T", 1.0), ("Oe", 1e-4), ("A/m", 4e-7 * math.pi)):
            meter.unit = unit
            assert meter.field == pytest.approx(tesla / in_one, rel=1e-3, abs=1e-9 / in_one)
    assert meter.range == 3500
    mean, deviation = meter.measure(4)
    assert (mean, deviation) == (pytest.approx(0.24 / (4e-7 * math.pi), rel=1e-3), pytest.approx(0, abs=1))


def test_ranges_zero_and_mode_decide_what_is_read(lab: Lab, meter: Any) -> None:
    magnetise(lab, 1.0)  # 200 G
    meter.range = 35
    assert meter.field == 35.0  # beyond it
    meter.range = 35000
    assert meter.field == 200.0  # in whole counts, of 1 G
    meter.auto_range()
    meter.zero_probe()
    assert meter.field == pytest.approx(0, abs=0.01)
    magnetise(lab, -1.0)
    assert meter.field == pytest.approx(-400, abs=0.2)
    meter.write("ZCLEAR")
    meter.ac_mode()
    assert meter.field == 0.0
    meter.write("*RST")
    assert meter.field == pytest.approx(-200, abs=0.02)
    lab.power_cycle("supply")
    time.sleep(30 * TAU)
    assert meter.field == pytest.approx(0, abs=0.01)


def test_it_drops_what_it_does_not_understand(lab: Lab) -> None:
    lab.power_cycle("gaussmeter")
    with BoardClient(lab.resources["gaussmeter"]) as box:
        for hostile in (
            b"UNIT 5\n", b"UNIT T\n", b"RANGE 0\n", b"RDGMODE 1,0\n", b"RDGMODE 3,0,1\n", b"AUTO 2\n", b"RDGFIELD\n",
            b"RDGFIELD? 1\n", b"NONSENSE?\n", b"UNIT \xff\n", b"UNIT #15\n12345\n", b";;,?\n", b"SYST:ERR?\n",
            b"*STB?\n", b"RANGE 1e400\n", b"UNIT nan\n",
        ):  # fmt: skip
            box.send(hostile)
        assert box.ask("UNIT?;RANGE?;AUTO?;RDGMODE?") == "1;4;1;1,0,1"
        assert box.ask("AUTO 0;AUTO?;AUTO;AUTO?") == "0;1"


def test_readings_are_as_slow_as_real_ones_at_real_pace() -> None:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7, pace="real") as lab:
        with BoardClient(lab.resources["gaussmeter"]) as box:
            began = time.monotonic()
            for _ in range(6):
                box.ask("RDGFIELD?")
            assert time.monotonic() - began >= 0.2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "+000.000E+00"),
        (12.345e-3, "+012.345E-03"),
        (-350.0, "-350.000E+00"),
        (999.9999, "+001.000E+03"),
        (2e5, "+200.000E+03"),
    ],
)
def test_numbers_are_written_as_the_manual_has_them(value: float, text: str) -> None:
    assert _engineering(value) == text


def test_it_is_served_on_no_serial_line(tmp_path: Path) -> None:
    path = tmp_path / "lab.toml"
    magnet = "".join(f"{key} = {value}\n" for key, value in COIL.items())
    path.write_text(
        f"[magnets.m]\n{magnet}[boxes.a]\nkind = 'lakeshore-425'\nmagnet = 'm'\nwire = 'serial'\n"
    )
    with pytest.raises(LabError, match=r"boxes\.a\.wire"):
        Lab.from_toml(path)

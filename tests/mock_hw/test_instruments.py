"""Simulated bench instruments at one junction: pymeasure's own classes drive them, pulses switch, readings are true."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400

from mock_hw import Lab, LabError, LabSettings
from mock_hw._lab_file import (
    Agilent33500Settings,
    JunctionSettings,
    Keithley2400Settings,
    Keithley2450Settings,
    KepcoBopSettings,
    Keysight81160ASettings,
    LakeShore425Settings,
    MagnetSettings,
    read_lab_file,
)
from mock_hw.boxes import (
    agilent_33500,
    keithley_2400,
    keithley_2450,
    kepco_bop,
    keysight_81160a,
    lakeshore_425,
)
from mock_hw.testing import BoardClient

PAGE = (Path(__file__).parents[2] / "docs" / "simulated-instruments.md").read_text("utf-8")
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "leads": 2.0},
    },
}
NOMINAL = 300.0  # K


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def generator(lab: Lab) -> Iterator[Any]:
    yield from _opened(lab, "generator", Agilent33500)


@pytest.fixture
def meter(lab: Lab) -> Iterator[Any]:
    yield from _opened(lab, "meter", Keithley2400)


def _opened(lab: Lab, name: str, driver: Any) -> Iterator[Any]:
    lab.power_cycle(name)
    box = driver(
        lab.resources[name], visa_library="@py", read_termination="\n", write_termination="\n", timeout=10_000
    )
    yield box
    box.adapter.close()
    with BoardClient(lab.resources[name]) as client:
        assert client.error() == 0


TABLES = {
    "Agilent 33500 (33521A)": agilent_33500.TABLE,
    "Keysight 81160A": keysight_81160a.TABLE,
    "Keithley 2400": keithley_2400.TABLE,
    "Keithley 2450": keithley_2450.TABLE,
    "Kepco BOP 36-12": kepco_bop.TABLE,
    "Lake Shore 425": lakeshore_425.TABLE,
}


@pytest.mark.parametrize("title", TABLES)
def test_the_page_names_every_command_and_no_other(title: str) -> None:
    table = TABLES[title]
    section = PAGE.split(f"## {title}")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]*`) \| ([^|]+) \|", section, re.MULTILINE)
    named = [header for cell, _ in rows for header in re.findall(r"`([^`]+)`", cell)]
    assert sorted(named) == sorted(command.header for command in table.commands)
    place = r"(\d[\d-]*|[AB][.-]\d+)"  # a page, or a section
    assert all(re.fullmatch(rf"—|{place}(, {place})*", page) for _, page in rows)


def test_the_page_names_every_key_of_the_lab_file(tmp_path: Path) -> None:
    section = PAGE.split("## The lab file")[1].split("\n## ")[0]
    written: dict[str, set[str]] = {}
    table = ""
    for first, keys in re.findall(r"^\| ([^|]*)\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE):
        table = first.strip(" `") or table
        written.setdefault(table, set()).update(re.findall(r"`(\w+)`", keys))
    kinds = {
        "agilent-33500": set(Agilent33500Settings.model_fields),
        "keysight-81160a": set(Keysight81160ASettings.model_fields),
        "keithley-2400": set(Keithley2400Settings.model_fields),
        "keithley-2450": set(Keithley2450Settings.model_fields),
        "kepco-bop": set(KepcoBopSettings.model_fields),
        "lakeshore-425": set(LakeShore425Settings.model_fields),
    }
    common = set.intersection(*kinds.values())
    assert written == {
        "[junctions.NAME]": set(JunctionSettings.model_fields),
        "[magnets.NAME]": set(MagnetSettings.model_fields),
        "[boxes.NAME]": common,
        **{kind: keys - common for kind, keys in kinds.items()},
    }
    path = tmp_path / "lab.toml"
    path.write_text(section.split("```toml")[1].split("```")[0])
    assert list(read_lab_file(path).boxes) == ["supply", "gaussmeter", "generator", "meter"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[boxes.a]\nkind = 'agilent-33500'\njunction = 'x'", r"give \[junctions\.x\]"),
        ("[boxes.a]\nkind = 'agilent-33500'\njunction = 'x'\nrows = 3", r"boxes\.a\.rows: Extra inputs"),
        ("[boxes.a]\njunction = 'x'", r"boxes\.a\.kind: say by 'kind' which box it is"),
        (
            "[junctions.x]" + "".join(f"\n[boxes.{n}]\nkind = 'agilent-33500'\njunction = 'x'" for n in "ab"),
            "two generators",
        ),
        (
            "[junctions.x]\n[boxes.a]\nkind = 'keysight-81160a'\njunction = 'x'\njunction_2 = 'x'",
            "two generators",
        ),
        (
            "[junctions.x]\n[boxes.a]\nkind = 'keysight-81160a'\njunction = 'x'\njunction_2 = 'y'",
            r"give \[junctions\.y\]",
        ),
        ("[junctions.x]\n[boxes.x]\nkind = 'keithley-2400'\njunction = 'x'", "a box and a junction"),
        (
            "[junctions.x]\ndevice = 'C'\n[boxes.a]\nkind = 'agilent-33500'\njunction = 'x'",
            "take another device",
        ),
    ],
)
def test_wrong_lab_files_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "lab.toml"
    path.write_text(content)
    with pytest.raises(LabError, match=said):
        Lab.from_toml(path)


PULSER = [
    ("shape", "PULS"), ("output_load", 75.0), ("pulse_width", 4e-7), ("pulse_period", 2e-6),
    ("pulse_transition", 2e-8), ("voltage_high", 0.4), ("voltage_low", -0.1), ("amplitude", 0.3), ("offset", 0.05),
    ("amplitude_unit", "VPP"), ("burst_ncycles", 12), ("burst_mode", "TRIG"), ("burst_state", True),
    ("burst_period", 1e-3), ("output", True), ("output", False),
]  # fmt: skip
METER = [
    ("source_mode", "voltage"), ("source_voltage_range", 0.21), ("source_voltage", 0.05),
    ("source_voltage_range_auto_enabled", True), ("compliance_current", 1e-4), ("current_range", 1.05e-5),
    ("current_range_auto_enabled", True), ("current_nplc", 0.01), ("voltage_nplc", 0.1), ("resistance_nplc", 1.0),
    ("compliance_voltage", 2.1), ("voltage_range", 2.1), ("voltage_range_auto_enabled", True),
    ("resistance_range", 2.1e4), ("resistance_range_auto_enabled", True), ("resistance_mode_auto_enabled", True),
    ("source_current", 1e-5), ("source_current_range", 1.05e-4), ("source_current_range_auto_enabled", False),
    ("source_delay", 0.5), ("source_delay_auto_enabled", True), ("auto_zero_enabled", False),
    ("output_off_state", "disconnected"), ("auto_output_off_enabled", True), ("filter_enabled", True),
    ("filter_count", 7), ("repeat_filter_enabled", False), ("buffer_points", 12),
    ("source_enabled", True), ("source_enabled", False),
]  # fmt: skip


def test_pymeasures_generator_sets_and_reads_back(generator: Any) -> None:
    generator.ch_1.pulse_width = 1e-6  # what is narrower fits every period
    for name, value in PULSER:
        channel = generator.ch_1
        setattr(channel, name, value)
        assert getattr(channel, name) == pytest.approx(value), name
    for source in ("BUS", "EXT", "IMM"):
        generator.trigger_source = source
        assert generator.trigger_source == source
    generator.ch_1.output_load = "INF"
    assert generator.ch_1.output_load == 9.9e37
    generator.ext_trig_out = True
    assert generator.ext_trig_out is True


def test_pymeasures_source_meter_sets_and_reads_back(meter: Any) -> None:
    for name, value in METER:
        setattr(meter, name, value)
        back = getattr(meter, name)
        assert back == (pytest.approx(value) if isinstance(value, float) else value), name


def test_pulses_switch_as_the_device_says_and_readings_are_its_resistances(
    lab: Lab, generator: Any, meter: Any
) -> None:
    junction = lab.junctions["mtj"]
    junction.largest_voltage = 0.0
    channel = generator.ch_1
    channel.output_load, channel.shape = "INF", "PULS"
    channel.pulse_width, channel.pulse_period, channel.pulse_transition = 500e-9, 100e-6, 8.4e-9
    channel.voltage_low, channel.voltage_high = 0.0, 0.3
    channel.burst_ncycles, channel.burst_state, generator.trigger_source = 1, True, "BUS"
    channel.output = True
    meter.source_voltage_range, meter.source_voltage = 0.21, 0.05
    meter.compliance_current, meter.current_nplc, meter.auto_zero_enabled = 1e-4, 0.1, False
    meter.source_enabled = True

    def read() -> float:
        return 0.05 / meter.values(":READ?")[1] - 2.0

    def reset() -> None:
        with junction.lock:
            if junction.antiparallel:
                junction.array.flip()

    tries, ones, volts = 600, 0, 0.25
    channel.voltage_high = volts
    across = junction.share(volts, 50.0, False) + junction.share(0.05, 2.0, False)
    p = float(junction.array.device.switching_probability(np.array([across]), 500e-9, NOMINAL, 0.0, False)[0])
    assert 0.1 < p < 0.9
    for _ in range(tries):
        reset()
        assert read() == pytest.approx(junction.resistance(0.05, False), rel=0.01)
        generator.ask("*TRG;*OPC?")
        ones += junction.antiparallel
        assert read() == pytest.approx(junction.resistance(0.05), rel=0.01)
    assert abs(ones - tries * p) < 5 * math.sqrt(tries * p * (1 - p))  # false alarm 6e-7
    assert junction.largest_voltage == pytest.approx(across, abs=0.003)  # both sources together
    assert junction.share(volts, 50.0, True) > junction.share(volts, 50.0, False)


def test_a_box_takes_the_nearest_value_and_says_so(lab: Lab) -> None:
    lab.power_cycle("generator")
    with BoardClient(lab.resources["generator"]) as box:
        assert box.ask("VOLT?") == "+1.00000000000000E-01"
        box.send("VOLT:HIGH 9")
        assert float(box.ask("VOLT:HIGH?")) == pytest.approx(5.0)
        assert box.ask("SYST:ERR?").startswith('-222,"Data out of range; value clipped')
        box.send("SOUR1:VOLT:LOW -0.1;HIGH -0.2")
        assert float(box.ask("VOLT:LOW?")) == pytest.approx(-0.201)
        assert box.error() == -221
        box.send("VOLT:LIM:HIGH 0.3;LOW -0.3;STAT 1;:VOLT:HIGH 0.4")
        assert float(box.ask("VOLT:HIGH?")) == pytest.approx(0.3)
        assert box.errors("OUTP:LOAD INF") == [-222, -221]
        assert box.errors("*TRG") == [-211]
        assert box.errors("FUNC:PULS:WIDT 1e-3;:OUTP1:POL UP;:PULS:WIDT 1") == [-221, -104, -113]
        for _ in range(25):
            box.send("NONSENSE")
        assert [box.error() for _ in range(20)][-2:] == [-113, -350]
        assert box.ask("SYST:ERR?") == '+0,"No error"'


def test_a_source_meter_limits_the_current_and_fills_its_buffer(lab: Lab, meter: Any) -> None:
    junction = lab.junctions["mtj"]
    meter.source_voltage, meter.compliance_current = 0.2, 1e-5
    with BoardClient(lab.resources["meter"]) as other:
        assert other.errors(":READ?") == [803]
        assert other.errors(":SENS:CURR:RANG 1e-3") == [824]
        assert other.errors(":SENS:FUNC CURR") == [-104]
        assert other.errors(":SENS:FUNC 'CURR") == [-151]
    meter.source_enabled = True
    volts, amperes, _, _, status = meter.values(":READ?")
    assert (volts, amperes) == (pytest.approx(0.2), pytest.approx(1e-5, rel=1e-2))
    assert int(status) & 8
    assert abs(junction._standing) == pytest.approx(1e-5 * junction.resistance(0.01), rel=0.02)
    meter.config_buffer(20)
    meter.start_buffer()
    meter.wait_for_buffer(timeout=10, interval=0.01)
    assert meter.buffer_data.reshape(20, 5)[:, 1] == pytest.approx(1e-5, rel=0.02)


def test_measuring_switches_the_output_on_and_a_power_cycle_off(lab: Lab, meter: Any) -> None:
    meter.source_voltage = 0.05
    assert not meter.source_enabled
    assert meter.current > 0  # pymeasure's property sends :MEASure
    assert meter.source_enabled
    lab.power_cycle("meter")
    assert lab.junctions["mtj"]._standing == 0
    with BoardClient(lab.resources["meter"]) as other:
        assert other.ask(":OUTP?;:SOUR:VOLT?") == "0;+0.000000E+00"


def test_what_the_table_does_not_know_is_said_and_the_voltage_counted(lab: Lab) -> None:
    lab.power_cycle("generator")
    junction = lab.junctions["mtj"]
    with BoardClient(lab.resources["generator"]) as box:
        box.send(
            "OUTP:LOAD INF;:FUNC PULS;:FUNC:PULS:WIDT 500E-9;:VOLT:LOW 0;HIGH 0.2;:BURS:STAT 1;:TRIG:SOUR BUS;:OUTP 1"
        )
        assert box.errors("*TRG") == [-300]  # its edges are 10 ns
        assert box.errors("FUNC:PULS:TRAN 8.4E-9;:VOLT:HIGH 1;*TRG") == [-300]  # beyond the table
    assert junction.largest_voltage > 0.9


def test_the_state_of_a_junction_outlives_the_lab(tmp_path: Path) -> None:
    path, states = tmp_path / "state.npz", []
    for seed in (5, None):
        with Lab(LabSettings.model_validate(SETTINGS), seed=seed, state=path) as lab:
            states.append((lab.junctions["mtj"].antiparallel, lab.junctions["mtj"].resistance(0.1, False)))
            if seed:
                lab.junctions["mtj"].array.flip()
    assert states[1][0] is not states[0][0]
    assert states[1][1] == pytest.approx(states[0][1], rel=1e-3)

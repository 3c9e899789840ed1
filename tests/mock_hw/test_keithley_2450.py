"""The simulated Keithley 2450: pymeasure's own class drives it in its own language, and as a 2400 after a restart."""

from collections.abc import Iterator
from typing import Any

import pytest
from pymeasure.instruments.keithley import Keithley2450

from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient

LEADS = 2.0
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {"meter": {"kind": "keithley-2450", "junction": "mtj", "leads": LEADS}},
}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def client(lab: Lab) -> Iterator[BoardClient]:
    speak(lab, "SCPI")
    with BoardClient(lab.resources["meter"]) as client:
        yield client


def speak(lab: Lab, language: str) -> None:
    """Have the box speak a language, fresh from power-on."""
    with BoardClient(lab.resources["meter"]) as client:
        assert client.errors(f"*LANG {language}") == []
    lab.power_cycle("meter")


@pytest.fixture
def opened(lab: Lab) -> Iterator[Any]:
    """Opens the box by pymeasure's class in a language; it must not have said an error at the end."""
    boxes: list[Any] = []

    def open_box(language: str) -> Any:
        speak(lab, language)
        boxes.append(
            Keithley2450(
                lab.resources["meter"],
                visa_library="@py",
                read_termination="\n",
                write_termination="\n",
                timeout=10_000,
            )
        )
        return boxes[-1]

    yield open_box
    for box in boxes:
        box.adapter.close()
    with BoardClient(lab.resources["meter"]) as client:
        assert client.error() == 0
    speak(lab, "SCPI")


COMMON = [
    ("source_mode", "voltage"), ("current_nplc", 0.1), ("source_voltage", 0.05), ("source_current", 1e-5),
    ("resistance_range", 2e4), ("source_mode", "current"), ("source_mode", "voltage"),
]  # fmt: skip
NATIVE = [
    *COMMON, ("current_range", 1e-5), ("voltage_range", 2.0), ("source_voltage_range", 0.2),
    ("source_current_range", 1e-4), ("compliance_current", 1e-4), ("compliance_voltage", 2.1), ("voltage_nplc", 0.5),
    ("resistance_nplc", 2.0), ("current_nplc", 0.01), ("source_current_delay", 0.5), ("source_voltage_delay", 0.25),
    ("source_current_delay_auto", True), ("source_voltage_delay_auto", True), ("wires", 4), ("wires", 2),
    ("buffer_points", 20), ("current_filter_type", "MOV"), ("current_filter_count", 7), ("voltage_filter_type", "REP"),
    ("voltage_filter_count", 9), ("current_output_off_state", "HIMP"), ("voltage_output_off_state", "ZERO"),
]  # fmt: skip
AS_2400 = [
    *COMMON,
    ("current_range", 1.05e-5),
    ("voltage_range", 2.1),
    ("source_voltage_range", 0.21),
    ("buffer_points", 12),
]


@pytest.mark.parametrize(("language", "properties"), [("SCPI", NATIVE), ("SCPI2400", AS_2400)])
def test_pymeasures_class_sets_and_reads_back(opened: Any, language: str, properties: Any) -> None:
    box = opened(language)
    for name, value in properties:
        setattr(box, name, value)
        back = getattr(box, name)
        assert back == (pytest.approx(value) if isinstance(value, float) else value), name
    if language == "SCPI":
        box.current_filter_state = "ON"
        assert box.current_filter_state == 1  # pymeasure gives what it reads
    box.enable_source()
    assert box.source_enabled is True
    box.disable_source()
    assert box.source_enabled is False


def test_pymeasures_class_reads_the_junction_in_its_own_language(lab: Lab, opened: Any) -> None:
    junction, box = lab.junctions["mtj"], opened("SCPI")
    box.apply_voltage(compliance_current=1e-3)
    box.source_voltage = 0.05
    box.enable_source()
    ohms = junction.resistance(0.05) + LEADS
    box.measure_current(nplc=0.1)
    assert box.current == pytest.approx(0.05 / ohms, rel=0.01)
    box.measure_voltage()
    assert box.voltage == pytest.approx(0.05, rel=0.001)
    box.measure_resistance()
    assert box.resistance == pytest.approx(ohms, rel=0.01)
    assert (box.means, box.standard_devs) != (None, None)
    box.apply_current(compliance_voltage=0.2)
    box.source_current = 2e-5
    box.measure_voltage()
    assert box.voltage == pytest.approx(2e-5 * (junction.resistance(0.0) + LEADS), rel=0.02)
    box.disable_source()
    assert (box.source_enabled, junction.standing) == (False, 0)


def test_pymeasures_class_fills_the_buffer_of_a_2400_and_still_sets_no_count(opened: Any) -> None:
    box = opened("SCPI2400")
    box.write(":SENS:CURR:PROT 1e-3")
    box.source_voltage = 0.05
    box.enable_source()
    box.config_buffer(12)
    assert box.trigger_count == 12
    assert (
        box.ask(":TRIG:COUN?").strip() == "1"
    )  # pymeasure 0.16 has no such property: it sets an attribute of its own
    box.write(":TRIG:COUN 12")
    box.start_buffer()
    box.wait_for_buffer(timeout=10, interval=0.01)
    assert box.buffer_data.reshape(12, 5)[:, 0] == pytest.approx(0.05)
    box.disable_source()


def test_pymeasure_still_mixes_both_languages(lab: Lab, opened: Any) -> None:
    """Its docstring says that it wants a 2400's, but that has no ILIM."""
    box = opened("SCPI2400")
    box.compliance_current = 1e-4
    with BoardClient(lab.resources["meter"]) as client:
        assert client.error() == -113


def test_a_language_is_spoken_from_the_next_power_on(lab: Lab, client: BoardClient) -> None:
    assert client.ask("*LANG?;*IDN?").startswith("SCPI;KEITHLEY INSTRUMENTS INC.,MODEL 2450,0001,")
    assert client.errors("*LANG TSP;*LANG 2400") == [-300, -104]
    client.send("*LANG SCPI2400;*RST")
    assert client.ask("*LANG?;:SOUR:VOLT:ILIM?") == "SCPI2400;1.050000E-04"
    assert client.errors(":SENS:CURR:PROT 1e-4") == [-113]
    lab.power_cycle("meter")
    with BoardClient(lab.resources["meter"]) as again:
        assert again.errors(":SOUR:VOLT:ILIM 1e-4;:SENS:CURR:PROT 2e-4;:READ?") == [-113, 803]
        assert again.ask(":SENS:CURR:PROT?;*LANG?") == "+2.000000E-04;SCPI2400"
        again.send("*LANG SCPI")
        assert again.errors(":SENS:CURR:PROT 1e-4") == []
    lab.power_cycle("meter")
    with BoardClient(lab.resources["meter"]) as again:
        assert again.ask(":SOUR:VOLT:ILIM?;:OUTP?") == "1.050000E-04;0"


def test_a_lab_file_says_which_language_is_stored() -> None:
    settings = {**SETTINGS, "boxes": {"meter": {**SETTINGS["boxes"]["meter"], "language": "SCPI2400"}}}
    with (
        Lab(LabSettings.model_validate(settings), seed=1) as lab,
        BoardClient(lab.resources["meter"]) as client,
    ):
        assert client.ask(":SENS:CURR:PROT?") == "+1.050000E-04"


def test_it_limits_the_current_and_says_so(lab: Lab, client: BoardClient) -> None:
    junction = lab.junctions["mtj"]
    client.send(":SOUR:VOLT 0.2;:SOUR:VOLT:ILIM 1E-5;:SENS:FUNC 'CURR';:SENS:CURR:NPLC 1;:OUTP 1")
    volts, amperes, status = client.ask(':READ? "defbuffer1",SOUR,READ,SOURSTAT').split(",")
    assert float(amperes) == pytest.approx(1e-5, rel=0.01)
    assert float(volts) == pytest.approx(1e-5 * (junction.resistance(0.01) + LEADS), rel=0.02)  # read back
    assert int(status) == 8 + 32 + 128
    assert client.ask(":SOUR:VOLT:ILIM:TRIP?;:SOUR:CURR:VLIM:TRIP?") == "1;0"
    client.send(":SOUR:VOLT:READ:BACK 0;:SOUR:VOLT:ILIM 1E-3;:SENS:CURR:RANG 1E-7")
    assert float(client.ask(":READ?")) == pytest.approx(1.05e-7, rel=0.01)  # a fixed range limits, too
    assert client.ask(":FETC? SOUR,SOURSTAT,UNIT") == "2.000000E-01,160,Amp DC"
    client.send(":OUTP 0")
    assert abs(float(client.ask(":READ?"))) < 1e-8
    assert client.ask(":FETC? SOURSTAT;:SOUR:VOLT:ILIM:TRIP?") == "0;0"


def test_a_buffer_goes_round(client: BoardClient) -> None:
    assert client.errors(":FETC?") == [-230]
    assert client.errors(":TRAC:STAT:AVER?") == [-230]
    client.send(':TRAC:POIN 10,"defbuffer1";:SOUR:VOLT 0.1;:SENS:FUNC "VOLT";:OUTP 1;:SENS:COUN 8')
    client.ask(":READ?")
    assert client.ask(':TRAC:ACT? "defbuffer1";:TRAC:POIN?') == "8;10"
    client.send(':TRIG:LOAD "SimpleLoop",7,0.001;:INIT;*WAI')
    assert client.ask(":TRAC:ACT?;:TRIG:STAT?") == "10;IDLE;IDLE;0"
    times = [float(each) for each in client.ask(':TRAC:DATA? 1,10,"defbuffer1",REL').split(",")]
    assert times == sorted(times)
    assert len(times) == 10
    assert float(client.ask(':TRAC:STAT:AVER? "defbuffer1"')) == pytest.approx(0.1, rel=1e-3)
    assert client.errors(':TRAC:DATA? 1,11;:TRAC:DATA? 1;:READ? "mine";:READ? READ,"defbuffer1"') == [
        -222,
        -109,
        -222,
        -108,
    ]
    assert client.errors(':TRIG:LOAD "Empty";:TRIG:LOAD "SimpleLoop"') == [-104, -109]
    client.send(":TRAC:CLE")
    assert client.ask(":TRAC:ACT?;*RST;:TRAC:ACT?;:OUTP?") == "0;0;0"


def test_ranges_and_limits_are_kept(client: BoardClient) -> None:
    for line, error in (
        (":SOUR:VOLT 211", -222), (":SOUR:VOLT:RANG 2;:SOUR:VOLT 3", -221), (":SOUR:VOLT:ILIM 2", -222),
        (":SOUR:VOLT:ILIM 1E-10", -222), (":SOUR:CURR:VLIM 0.01", -222), (":SENS:CURR:NPLC 11", -222),
        (":SENS:FUNC CURR", -104), (":SOUR:VOLT:DEL -1", -222), (":TRAC:POIN 9", -222), (":INIT", -221),
        (":SENS:CURR:AVER:COUN 101", -222), (":SOUR:FUNC RES", -104),
    ):  # fmt: skip
        assert client.errors(line) == [error], line
    client.send("*RST;:SOUR:VOLT 1;:SENS:FUNC 'VOLT';:SENS:VOLT:RANG 0.2;:SOUR:VOLT:ILIM 0.1;:OUTP 1")
    assert client.ask(":READ?") == "9.900000E+37"
    client.send(":SENS:VOLT:RANG:AUTO 1;:SENS:FUNC 'RES';:SENS:RES:RANG 200")
    assert client.ask(":READ?") == "9.900000E+37"
    assert client.ask(":SENS:FUNC?;:SENS:RES:RANG:AUTO?;:OUTP 0") == '"RES";0'


def test_a_repeating_filter_takes_longer(lab: Lab, client: BoardClient) -> None:
    clock = lab.junctions["mtj"].clock
    client.send(
        ":SOUR:VOLT 0.05;:SENS:FUNC 'CURR';:SENS:CURR:NPLC 1;:SENS:CURR:AZER 0;:SENS:CURR:AVER:COUN 50"
    )
    client.send(":OUTP 1;:SENS:COUN 100")
    for averaging, seconds in ((0, 0.02), (1, 1.0)):
        assert client.ask(f":SENS:CURR:AVER {averaging};*OPC?") == "1"
        began = clock.now()
        client.ask(":READ?")
        assert (clock.now() - began) / 100 == pytest.approx(seconds + 1.4e-3, abs=0.01)
    assert client.errors(":OUTP 0;;:OUTP 0;") == [-102]  # a semicolon at the end is none

"""Adapters of the classic boxes over a lab: settings are read back, limits are asked first, every end is off."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pymeasure.instruments import Instrument
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400

from instruments import BenchError
from instruments.bench import SignalPath
from instruments.bench.adapters import (
    Agilent33500Source,
    Junction,
    JunctionLimits,
    Keithley2400Readout,
    PulseSettings,
    PulseSource,
    Readout,
    ReadSettings,
)
from instruments.bench.adapters._wire import is_on
from mock_hw import Lab, LabSettings

LEADS = 2.0
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "leads": LEADS},
    },
}
LIMITS = JunctionLimits(pulse_voltage=1.5, pulse_width=1e-6, read_voltage=0.6, current=1e-3, duty=0.5)
OPEN = SignalPath(source_impedance=50, assumed_load=math.inf, attenuation=0, overshoot=0.1, load=1e4)
MATCHED = SignalPath(source_impedance=50, assumed_load=50, attenuation=6, overshoot=0.1, load=1e4)
WIRES = SignalPath(source_impedance=LEADS, assumed_load=math.inf, attenuation=0, overshoot=0, load=1e4)
READ = ReadSettings(voltage=0.02, compliance=1e-4)


def pulse(voltage: float = 0.3, width: float = 500e-9, period: float = 2e-6, count: int = 2) -> PulseSettings:
    return PulseSettings(voltage, width, 8.4e-9, period, count)


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


@pytest.fixture
def junction() -> Junction:
    return Junction(LIMITS)


@pytest.fixture
def source(generator: Any, junction: Junction) -> Agilent33500Source:
    return Agilent33500Source(generator, OPEN, junction)


@pytest.fixture
def readout(meter: Any, junction: Junction) -> Keithley2400Readout:
    return Keithley2400Readout(meter, WIRES, junction)


def _opened(lab: Lab, name: str, driver: Any) -> Iterator[Any]:
    lab.power_cycle(name)
    box = driver(
        lab.resources[name],
        name=name,
        visa_library="@py",
        read_termination="\n",
        write_termination="\n",
        timeout=10_000,
    )
    yield box
    box.adapter.close()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to any box, in its order."""
    lines: list[str] = []
    write = Instrument.write

    def keep(self: Instrument, command: str, **rest: Any) -> None:
        lines.append(command)
        write(self, command, **rest)

    monkeypatch.setattr(Instrument, "write", keep)
    return lines


def tamper(monkeypatch: pytest.MonkeyPatch, box: Any, question: str, answer: str | Exception) -> None:
    """Have a box answer a question otherwise, or not at all."""
    write, read = box.adapter.write, box.adapter.read
    asked = ""

    def keep(command: str, **rest: Any) -> None:
        nonlocal asked
        asked = command
        write(command, **rest)

    def tampered(**rest: Any) -> str:
        if not asked.endswith(question):
            return read(**rest)
        mark = read(**rest).partition(";")[0]
        if isinstance(answer, Exception):
            raise answer
        return f"{mark};{answer}"

    monkeypatch.setattr(box.adapter, "write", keep)
    monkeypatch.setattr(box.adapter, "read", tampered)


def is_off(box: Any) -> bool:
    return not is_on(box, "OUTP?")


def test_they_are_what_the_bench_wants(source: PulseSource, readout: Readout) -> None:
    for adapter in (source, readout):
        adapter.check()
        assert not adapter.output_is_on()
        assert adapter.unseen
    assert source.look() == (
        "SIN from -0.05 V to 0.05 V as shown for 50 ohms, pulses of 0.0001 s every 0.001 s, burst off"
    )
    assert readout.look() == "sources 0 V, compliance 0.000105 A"


@pytest.mark.parametrize("voltage", [0.3, -0.3])
@pytest.mark.parametrize("path", [OPEN, replace(MATCHED, attenuation=0)])
def test_a_burst_is_set_read_back_and_given(
    lab: Lab, generator: Any, junction: Junction, voltage: float, path: SignalPath, sent: list[str]
) -> None:
    world = lab.junctions["mtj"]
    source = Agilent33500Source(generator, path, junction)
    source.prepare(pulse(voltage))
    assert not is_off(generator)
    peak = float(generator.ask("VOLT:HIGH?" if voltage > 0 else "VOLT:LOW?"))
    assert peak * path.gain == pytest.approx(voltage, rel=1e-4)
    assert float(generator.ask("VOLT:LIM:HIGH?")) * path.peak_gain == pytest.approx(1.5, rel=1e-4)
    world.largest_voltage, pulses = 0.0, world.pulses
    sent.clear()
    source.pulse()
    (message,) = sent
    assert message.endswith("*ESE?;*TRG;*OPC?;:OUTP?;:SYST:ERR?")
    assert world.pulses - pulses == 2
    assert world.largest_voltage == pytest.approx(0.3, rel=0.03)
    source.off()
    assert is_off(generator)
    with pytest.raises(BenchError, match="prepare first"):
        source.pulse()


@pytest.mark.parametrize("current_range", [None, 1e-4])
def test_a_resistance_is_read(
    lab: Lab, meter: Any, readout: Keithley2400Readout, current_range: float | None
) -> None:
    readout.prepare(ReadSettings(READ.voltage, READ.compliance, current_range))
    assert meter.ask("SENS:CURR:RANG:AUTO?").strip() == str(int(current_range is None))
    assert readout.read() == pytest.approx(lab.junctions["mtj"].resistance(0.02), rel=0.02)
    readout.off()
    assert is_off(meter)


def test_the_path_of_the_read_voltage_counts(meter: Any, junction: Junction) -> None:
    half = SignalPath(source_impedance=1e4, assumed_load=math.inf, attenuation=0, overshoot=0, load=1e4)
    Keithley2400Readout(meter, half, junction).prepare(READ)
    assert float(meter.ask("SOUR:VOLT?")) == pytest.approx(0.04, rel=1e-3)
    for path in (MATCHED, SignalPath(2, 50, 0, 0, 1e4), SignalPath(2, math.inf, 3, 0, 1e4)):
        with pytest.raises(BenchError, match="assumed_load = inf and no attenuation"):
            Keithley2400Readout(meter, path, junction)


def test_limits_are_asked_before_anything_is_sent(
    source: Agilent33500Source, readout: Keithley2400Readout, sent: list[str]
) -> None:
    sent.clear()
    for settings, said in (
        (pulse(1.4), r"a pulse of 1\.54 V at the device is above limits\.pulse_voltage = 1\.5 V"),
        (pulse(-1.4), r"limits\.pulse_voltage"),
        (pulse(width=1.1e-6, period=1e-5), r"limits\.pulse_width = 1e-06 s"),
        (pulse(width=1e-6, period=1.9e-6), r"width over period of .* is above limits\.duty = 0\.5"),
        (pulse(count=600_000), "a burst of 1.2 s is longer"),
    ):
        with pytest.raises(BenchError, match=said):
            source.prepare(settings)
    for volts, compliance, said in ((0.61, 1e-4, r"limits\.read_voltage"), (0.02, 2e-3, r"limits\.current")):
        with pytest.raises(BenchError, match=said):
            readout.prepare(ReadSettings(volts, compliance))
    with pytest.raises(BenchError, match="prepare first"):
        readout.read()
    assert sent == []


def test_more_than_the_generator_gives_is_refused(generator: Any, sent: list[str]) -> None:
    limits = JunctionLimits(pulse_voltage=50.0, pulse_width=1e-6, read_voltage=0.1, current=1e-3)
    with pytest.raises(BenchError, match=r"more than the 'generator' gives, 5 V"):
        Agilent33500Source(generator, MATCHED, Junction(limits)).prepare(pulse(6.0))
    assert "OUTP 1" not in sent


def test_pulse_and_read_voltage_count_together(
    source: Agilent33500Source, readout: Keithley2400Readout, sent: list[str]
) -> None:
    readout.prepare(ReadSettings(0.5, 1e-4))
    with pytest.raises(BenchError, match=r"together of 1\.6 V .* limits\.pulse_voltage"):
        source.prepare(pulse(1.0))
    readout.off()
    source.prepare(pulse(1.0))
    sent.clear()
    with pytest.raises(BenchError, match=r"together of 1\.6 V .* limits\.pulse_voltage"):
        readout.prepare(ReadSettings(0.5, 1e-4))
    assert sent == []
    source.off()
    readout.prepare(ReadSettings(0.5, 1e-4))
    readout.off()


def idle(world: Any, act: Callable[[], object]) -> float:
    """The largest volts that an act puts across the junction of a lab, in which nothing stands but the generator."""
    world.largest_voltage = 0.0
    act()
    return float(world.largest_voltage)


@pytest.mark.parametrize("path", [OPEN, replace(MATCHED, attenuation=0)])
def test_a_pulse_is_changed_with_the_output_on_and_the_idle_level_within_2_mv(
    lab: Lab, generator: Any, junction: Junction, path: SignalPath, sent: list[str]
) -> None:
    device: Any = lab.instruments["generator"].device
    world = lab.junctions["mtj"]
    source = Agilent33500Source(generator, path, junction)
    volts = (0.3, -0.3, -0.29, 0.31, 0.28, -0.31)
    bursts = [replace(pulse(each), largest=0.32, width=5e-7 if each > 0 else 4e-7) for each in volts]
    source.prepare(bursts[0])
    relays = device.relays
    for burst in (*bursts[1:], *bursts):
        sent.clear()
        assert idle(world, lambda burst=burst: source.change(burst)) <= 2e-3 * (1 + 1e-9)
        assert len(sent) == 1 or burst == bursts[0]
        assert idle(world, source.pulse) == pytest.approx(abs(burst.voltage), rel=0.03)
        width = float(generator.ask("FUNC:PULS:WIDT?"))
        assert width == pytest.approx(burst.width, rel=1e-6)
    before = bursts[-1]
    for burst in bursts:
        sent.clear()
        assert idle(world, lambda burst=burst: source.pulse(then=burst)) == pytest.approx(
            abs(before.voltage), rel=0.03
        )
        assert len(sent) == 1
        before = burst
    assert device.relays == relays
    assert not is_off(generator)
    source.off()


def test_what_cannot_be_changed_with_the_output_on_is_refused(
    source: Agilent33500Source, readout: Keithley2400Readout, generator: Any, sent: list[str]
) -> None:
    burst = replace(pulse(), largest=1.2)
    with pytest.raises(BenchError, match="prepare first"):
        source.change(burst)
    readout.prepare(ReadSettings(0.5, 1e-4))
    source.prepare(burst)
    sent.clear()
    for other, said in (
        (replace(burst, period=3e-6), "volts and width of a pulse alone"),
        (replace(burst, voltage=-1.3), "beyond the range"),
        (replace(burst, voltage=-1.0), r"together of 1\.6 V .* limits\.pulse_voltage"),
        (replace(burst, width=1.1e-6), r"limits\.pulse_width"),
    ):
        with pytest.raises(BenchError, match=said):
            source.change(other)
    assert sent == []
    assert not is_off(generator)
    source.off()
    with pytest.raises(BenchError, match="more than the 'generator' gives"):
        source.prepare(replace(pulse(), largest=20.0))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("VOLT:LIM:HIGH 0.31", "-222"),
        ("VOLT:HIGH 0.25", "answers VOLT:HIGH"),
        ("OUTP:POL INV", "answers OUTP:POL"),
    ],
)
def test_a_change_that_the_box_does_not_confirm_ends_with_the_output_off(
    source: Agilent33500Source, generator: Any, monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    """Somebody turns a knob between the setting and the question, or has before."""
    source.prepare(replace(pulse(), largest=0.4))
    write = generator.adapter.write

    def meddle(line: str, **rest: Any) -> None:
        if ":VOLT:HIGH 3.2" in line:
            line = line.replace(":VOLT:HIGH 3.2", f":{command};:VOLT:HIGH 3.2") if "LIM" in command else (
                line.replace(":VOLT:HIGH?", f":{command};:VOLT:HIGH?"))  # fmt: skip
        write(line, **rest)

    with monkeypatch.context() as meddled:
        meddled.setattr(generator.adapter, "write", meddle)
        with pytest.raises(BenchError, match=said):
            source.change(replace(pulse(0.32 * OPEN.gain), largest=0.4))
    assert is_off(generator)


def test_an_output_that_somebody_switched_off_is_noticed_at_the_pulse(
    source: Agilent33500Source, generator: Any
) -> None:
    source.prepare(pulse())
    generator.write("OUTP 0")
    with pytest.raises(BenchError, match=r"answers OUTP\? by '0'"):
        source.pulse()


def test_a_quick_reading_is_set_and_read_back(lab: Lab, meter: Any, readout: Keithley2400Readout) -> None:
    clock = lab.junctions["mtj"].clock
    readout.prepare(replace(READ, current_range=1e-4, delay=1.5e-4, cycles=0.01, autozero=False))
    asked = [meter.ask(each).strip() for each in ("SYST:AZER?", "SOUR:DEL:AUTO?")]
    assert asked == ["0", "0"]
    assert float(meter.ask("SOUR:DEL?")) == pytest.approx(2e-4)
    assert float(meter.ask("SENS:CURR:NPLC?")) == pytest.approx(0.01)
    before = clock.now()
    assert readout.read() == pytest.approx(lab.junctions["mtj"].resistance(0.02), rel=0.02)
    assert clock.now() - before > 2e-4 + 0.01 / 50
    readout.off()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    for name in ("voltage", "width", "edge", "period"):
        sound: dict[str, Any] = {"voltage": 0.1, "width": 1e-6, "edge": 1e-8, "period": 1e-5}
        with pytest.raises(ValueError, match=f"{name} is a finite number"):
            PulseSettings(**{**sound, name: value})
    for name in ("voltage", "compliance", "current_range"):
        with pytest.raises(ValueError, match=f"{name} is a finite number"):
            ReadSettings(**{"voltage": 0.1, "compliance": 1e-6} | {name: value})
    for name in ("pulse_voltage", "pulse_width", "read_voltage", "current", "duty"):
        with pytest.raises(ValueError, match=f"{name} is a finite number"):
            JunctionLimits(**dict.fromkeys(("pulse_voltage", "pulse_width", "read_voltage", "current"), 1.0)
                           | {name: value})  # fmt: skip


def test_a_setting_that_the_box_moves_is_refused_and_the_output_is_off(
    source: Agilent33500Source, generator: Any, sent: list[str]
) -> None:
    with pytest.raises(BenchError, match=r"'generator' says .*-222"):
        source.prepare(pulse(width=5e-9))
    assert is_off(generator)
    assert "OUTP 1" not in sent


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("VOLT:HIGH?", "+6E-01"), ("VOLT:LOW?", "-1E-01"), ("OUTP:LOAD?", "+5E+01"), ("FUNC:PULS:WIDT?", "+1E-06"),
        ("FUNC:PULS:PER?", "+1E-06"), ("FUNC:PULS:TRAN:TRA?", "+1E-06"), ("BURS:NCYC?", "+9.9E+37"), ("FUNC?", "SQU"),
        ("BURS:STAT?", "0"), ("VOLT:RANG:AUTO?", "1"),
        ("TRIG:SOUR?", "IMM"), ("OUTP:POL?", "INV"), ("VOLT:LIM:STAT?", "0"), ("VOLT:HIGH?", "nan"),
    ],
)  # fmt: skip
def test_what_the_generator_does_not_confirm_keeps_its_output_off(
    source: Agilent33500Source, generator: Any, sent: list[str], monkeypatch: Any, question: str, answer: str
) -> None:
    tamper(monkeypatch, generator, question, answer)
    with pytest.raises(BenchError, match=r"where .* is expected: look at it"):
        source.prepare(pulse())
    assert "OUTP 1" not in sent


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("SENS:CURR:PROT?", "1.0E-03"), ("SOUR:VOLT?", "2.1E-02"), ("SOUR:VOLT:RANG?", "21"), ("SOUR:FUNC?", "CURR"),
        ("SOUR:VOLT:RANG:AUTO?", "1"), ("SENS:CURR:RANG:AUTO?", "0"), ("SENS:FUNC?", '"CURR:DC"'),
        ("FORM:ELEM?", "VOLT,CURR"), ("SOUR:CLE:AUTO?", "1"), ("SENS:CURR:NPLC?", "1.0E-01"), ("SYST:AZER?", "0"),
        ("SOUR:DEL:AUTO?", "0"),
    ],
)  # fmt: skip
def test_what_the_meter_does_not_confirm_keeps_its_output_off(
    readout: Keithley2400Readout, meter: Any, sent: list[str], monkeypatch: Any, question: str, answer: str
) -> None:
    tamper(monkeypatch, meter, question, answer)
    with pytest.raises(BenchError, match=r"where .* is expected: look at it"):
        readout.prepare(READ)
    assert "OUTP 1" not in sent


def test_a_reading_in_compliance_is_refused_and_the_output_is_off(
    readout: Keithley2400Readout, meter: Any
) -> None:
    readout.prepare(ReadSettings(0.5, 1e-8))
    with pytest.raises(BenchError, match="in compliance"):
        readout.read()
    assert is_off(meter)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("rubbish", "no reading"), ("1,2,3", "no reading"), ("0.02,2E-6,nan,nan,nan", "no reading"),
        ("0.02,nan,1,1,0", "is the device connected"), ("0.02,9.91E+37,1,1,0", "is the device connected"),
        ("0.02,0,1,1,0", "is the device connected"), ("0.5,1E-6,1,1,0", r"0\.020004 V were set"),
    ],
)  # fmt: skip
def test_a_reading_that_is_none_is_refused_and_the_output_is_off(
    readout: Keithley2400Readout, meter: Any, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    readout.prepare(READ)
    with monkeypatch.context() as tampered:
        tamper(tampered, meter, "READ?", answer)
        with pytest.raises(BenchError, match=said):
            readout.read()
    assert is_off(meter)


def test_another_box_is_refused(generator: Any, meter: Any, junction: Junction) -> None:
    with pytest.raises(BenchError, match="put the right box there"):
        Agilent33500Source(meter, OPEN, junction).prepare(pulse())
    with pytest.raises(BenchError, match="put the right box there"):
        Keithley2400Readout(generator, WIRES, junction).prepare(READ)


def test_off_tries_everything_and_the_first_failure_stays(
    source: Agilent33500Source, generator: Any, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that is lost on the way to safety keeps no other from being sent, and replaces no error."""
    source.prepare(pulse())
    write = generator.adapter.write

    def lossy(command: str, **rest: Any) -> None:
        if command == "OUTP 0" or "*TRG" in command:
            raise OSError(f"no {command[-6:]}")
        write(command, **rest)

    monkeypatch.setattr(generator.adapter, "write", lossy)
    with pytest.raises(BenchError, match=r"does not answer \*TRG;\*OPC\?;.*: no T:ERR\?") as caught:
        source.pulse()
    (note,) = caught.value.__notes__
    assert (
        note
        == "the 'generator' is not known to be off, switch it off by hand: it does not take OUTP 0: no OUTP 0"
    )
    assert is_off(generator)  # by *RST
    monkeypatch.setattr(generator.adapter, "read", lambda **rest: "0")
    with pytest.raises(BenchError, match=r"OUTP 0; does not answer OUTP\?, but other questions"):
        source.off()


def test_a_box_that_is_not_known_to_be_off_counts_on(
    source: Agilent33500Source, readout: Keithley2400Readout, meter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    readout.prepare(ReadSettings(0.5, 1e-4))
    with monkeypatch.context() as tampered:
        tamper(tampered, meter, "OUTP?", "1")
        with pytest.raises(BenchError, match="not known to be off"):
            readout.off()
    with pytest.raises(BenchError, match="together"):
        source.prepare(pulse(1.0))
    readout.off()
    source.prepare(pulse(1.0))
    source.off()


def test_a_late_answer_is_not_taken_for_another(source: Agilent33500Source, generator: Any) -> None:
    generator.write("BURS:STAT?")  # its answer "0" is not read in time: that of `OUTP?` comes after it
    generator.write("OUTP 1")
    source.off()
    assert is_off(generator)
    generator.write("OUTP?")
    source.prepare(pulse())
    source.off()


def test_pymeasure_still_switches_the_output_on_by_asking_for_the_current(
    meter: Any, readout: Keithley2400Readout
) -> None:
    """So readings are asked for by `READ?`, which an output that is off refuses."""
    assert is_off(meter)
    _ = meter.current
    assert not is_off(meter)
    readout.off()
    assert is_off(meter)


def test_pymeasure_still_leaves_the_generator_on_at_shutdown(
    generator: Any, source: Agilent33500Source
) -> None:
    generator.write("OUTP 1")
    generator.shutdown()
    assert not is_off(generator)
    source.off()
    assert is_off(generator)


def test_pymeasure_still_leaves_the_meter_on_where_it_answers_nothing(
    meter: Any, readout: Keithley2400Readout, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter.write("OUTP 1")

    def silent(**rest: Any) -> str:
        raise OSError("silent")

    with monkeypatch.context() as tampered:
        tampered.setattr(meter.adapter, "read", silent)
        with pytest.raises(OSError, match="silent"):
            meter.shutdown()
        tampered.undo()
        assert not is_off(meter)
        tampered.setattr(meter.adapter, "read", silent)
        with pytest.raises(BenchError, match=r"not known to be off.*OUTP\?: silent; .*SOUR:VOLT\?: silent"):
            readout.off()
    assert is_off(meter)


def test_pymeasure_still_refuses_what_an_open_generator_gives(generator: Any) -> None:
    with pytest.raises(ValueError, match="is not in range"):
        generator.voltage_high = 6.0


def test_pymeasure_still_has_no_polarity(generator: Any) -> None:
    assert not hasattr(Agilent33500, "polarity")
    assert not any("pol" in name for name in (*dir(generator), *dir(generator.ch_1)))


def test_pymeasure_still_rounds_to_six_decimals_and_six_digits(
    generator: Any, meter: Any, sent: list[str]
) -> None:
    sent.clear()
    generator.ch_1.voltage_high = 0.1234567
    meter.source_voltage = 0.12345678
    assert any(line.endswith("VOLT:HIGH 0.123457") for line in sent)
    assert any(line.endswith(" 0.123457") for line in sent[-1:])

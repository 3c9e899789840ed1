"""HiSLIP, by pyvisa-py's client at every box."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400
from pyvisa.constants import ResourceAttribute

from drivers import ArrayBoard, BoardError
from mock_hw import Lab
from mock_hw._wires._hislip_messages import Kind
from tests.mock_hw.hislip_client import BOXES, FIRST, HEADER, Bare, every_box


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with every_box(wire="hislip") as lab:
        yield lab


@pytest.fixture(autouse=True)
def _as_after_power_on(lab: Lab) -> None:
    lab.power_cycle()


def interface(resource: Any) -> Any:
    """pyvisa-py's HiSLIP client below a resource."""
    return resource.visalib.sessions[resource.session].interface


@pytest.mark.parametrize("name", BOXES)
class TestEveryBox:
    def test_questions_status_byte_and_clear(self, visa, wait_until, name):
        box = visa(name)
        assert box.query("*IDN?").count(",") == 3
        assert box.query("*ESE 5;*ESE?;*SRE?").lstrip("+").startswith("5;")
        assert not box.read_stb() & 16
        box.write("*IDN?")
        wait_until(lambda: box.read_stb() & 16)
        box.read()
        assert not box.read_stb() & 16
        box.write("NONSENSE")
        wait_until(lambda: box.read_stb() & 4)
        assert box.query("SYST:ERR?").startswith("-113")
        interface(box).send(b"*ES")  # ends without a line feed, which is an end all the same
        assert box.query("SYST:ERR?").startswith("-113")
        box.clear()
        assert box.query("SYST:ERR?").lstrip("+").startswith("0,")

    def test_an_answer_that_is_not_read_is_interrupted(self, visa, name):
        box = visa(name)
        box.write("*IDN?")
        box.write("*OPC?")
        assert box.read().lstrip("+") == "1"
        assert box.query("SYST:ERR?").startswith("-410")
        box.write("*IDN?\n*OPC?")  # two questions in one message: the second is answered
        assert box.read().lstrip("+") == "1"
        assert box.query("SYST:ERR?").startswith("-410")
        box.write("*IDN?\n*ESE 3")
        assert box.query("SYST:ERR?").startswith("-410")
        assert box.query("*IDN?;*OPC?").lstrip("+").endswith("1")
        assert box.query("SYST:ERR?").lstrip("+").startswith("0,")

    def test_a_trigger(self, visa, name):
        box = visa(name)
        interface(box).trigger()
        assert box.query("SYST:ERR?").startswith("-211" if name == "generator" else ("0", "+0"))

    def test_locks(self, visa, name):
        one, two = visa(name), visa(name)
        first, second = interface(one), interface(two)
        assert first.async_lock_info() == 0
        assert first.async_lock_request(0) == "success"
        assert first.async_lock_request(0) == "error"
        assert first.async_lock_info() == 1
        assert second.async_lock_request(0.05) == "failure"
        two.write("*IDN?")
        time.sleep(0.05)
        assert not two.read_stb() & 16, "it waits for the lock"
        assert one.query("*OPC?").lstrip("+") == "1"
        assert first.async_lock_release() == "success"
        assert two.read().count(",") == 3
        assert first.async_lock_release() == "error"
        assert first.async_lock_request(0, "key") == "success shared"
        assert second.async_lock_request(0, "other") == "failure"
        assert second.async_lock_request(0, "key") == "success shared"
        assert second.async_lock_release() == "success shared"
        assert second.async_lock_request(0) == "failure"
        one.close()
        assert second.async_lock_request(5) == "success"

    def test_two_clients_at_once(self, visa, name):
        boxes = [visa(name) for _ in range(2)]
        wrong: list[str] = []

        def ask(box: Any) -> None:
            wrong.extend(a for a in (box.query("*IDN?") for _ in range(100)) if a.count(",") != 3)

        threads = [threading.Thread(target=ask, args=(box,)) for box in boxes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []

    def test_connections_that_are_cut(self, lab, visa, wait_until, name):
        threads = threading.active_count()
        for half in (False, True):
            with Bare(lab.resources[name], join=not half) as client:
                client.sync.sendall(HEADER.pack(b"HS", Kind.DATA_END, 0, FIRST, 100) + b"*ID")
        wait_until(lambda: threading.active_count() <= threads)
        box = visa(name)
        assert box.query("*IDN?").count(",") == 3
        lab.power_cycle(name)
        with pytest.raises((RuntimeError, OSError)):
            box.query("*IDN?")

    def test_pymeasures_own_class(self, lab, name):
        driver: Any = {"board": ArrayBoard, "generator": Agilent33500, "meter": Keithley2400}[name]
        box = driver(lab.resources[name], visa_library="@py", timeout=10_000)
        assert box.id.count(",") == 3
        assert box.check_errors() == []
        box.adapter.close()


def test_pymeasures_classes_set_and_read_back(lab: Lab) -> None:
    generator: Any = Agilent33500(lab.resources["generator"], visa_library="@py", timeout=10_000)
    generator.shape, generator.pulse_width, generator.voltage_high = "PULS", 4e-7, 0.4
    assert (generator.shape, generator.pulse_width, generator.voltage_high) == ("PULS", 4e-7, 0.4)
    generator.adapter.close()
    meter: Any = Keithley2400(lab.resources["meter"], visa_library="@py", timeout=10_000)
    meter.source_mode, meter.source_voltage, meter.compliance_current = "voltage", 0.05, 1e-4
    assert (meter.source_mode, meter.source_voltage, meter.compliance_current) == ("voltage", 0.05, 1e-4)
    meter.adapter.close()


# --- the array board: blocks, its driver ---


def test_blocks_of_any_bytes_both_ways_and_in_small_messages(visa) -> None:
    box = visa("board")
    mask = (b"\n\r#;\x00\xff" * 3)[:15]
    for size_kb in (1024, 1):
        box.set_visa_attribute(ResourceAttribute.tcpip_hislip_max_message_kb, size_kb)
        box.write_raw(b"ARR:MASK #215" + mask)  # no line feed: the end of the message ends it
        assert box.query_binary_values("ARR:MASK?", datatype="B", container=bytes) == mask
        assert box.query("SYST:ERR:COUN?") == "0"


def test_a_message_that_ends_within_a_block(visa) -> None:
    box = visa("board")
    for cut in (b"ARR:MASK #215abc", b"ARR:MASK #2", b"ARR:MASK #"):
        box.write_raw(cut)
        assert box.query("SYST:ERR?").startswith("-161")
        assert box.query("SYST:ERR:COUN?") == "0"


@pytest.fixture
def driven(lab: Lab, patience: Callable[[float], float]) -> Iterator[ArrayBoard]:
    board = ArrayBoard(lab.resources["board"], visa_library="@py", timeout=1000 * patience(2))
    yield board
    board.close()


def test_the_array_boards_driver(driven: ArrayBoard) -> None:
    """Values that are asked for twice, two lines on a stream, are two messages here: nothing is interrupted."""
    assert driven.voltage_limit == 2.0
    assert driven.interlock_closed
    driven.voltage, driven.width, driven.read_voltage = 1.34, 0.34e-9, 0.1
    driven.mask = np.arange(120).reshape(12, 10) % 3 > 0
    driven.pulses_per_block = 50
    driven.output_enabled = True
    driven.start()
    blocks = [driven.fetch() for _ in range(10)]
    assert [each.sequence for each in blocks if each] == list(range(10))
    driven.shutdown()
    assert not driven.output_enabled
    assert driven.check_errors() == []


def test_the_driver_after_an_answer_that_came_too_late(lab: Lab, patience) -> None:
    """The late answer belongs to no later question, and the board says what has become of it."""
    with contextlib.closing(ArrayBoard(lab.resources["board"], visa_library="@py", timeout=500)) as board:
        assert board.protocol_version
        board.write("SIM:FAUL:DEL 0.8")
        with pytest.raises(BoardError):
            _ = board.temperature
        board.write("SIM:FAUL:CLE")
        time.sleep(patience(2))  # until all of them have come
        with pytest.raises(BoardError, match="error -410"):
            board.check_errors()
        assert board.temperature == pytest.approx(300, abs=1)
        assert board.voltage_limit == 2.0
        assert board.check_errors() == []

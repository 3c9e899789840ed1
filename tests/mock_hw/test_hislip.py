"""HiSLIP: pyvisa-py's client at every box, and a bare one that says what no honest client would."""

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import pytest
import pyvisa
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400
from pyvisa.constants import ResourceAttribute

from drivers import ArrayBoard, BoardError
from mock_hw import Lab, LabSettings
from mock_hw._wires import MAX_CLIENTS
from mock_hw._wires._hislip_messages import LARGEST, Channel, Fatal, Kind, Mistake

HEADER = struct.Struct("!2sBBIQ")
BOXES = ("board", "generator", "meter")
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "board": {"kind": "array-board", "rows": 12, "columns": 10, "wire": "hislip"},
        "generator": {"kind": "agilent-33500", "junction": "mtj", "wire": "hislip"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "wire": "hislip"},
    },
}
FIRST = 0xFFFF_FF00


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=5) as lab:
        yield lab


@pytest.fixture(autouse=True)
def _as_after_power_on(lab: Lab) -> None:
    lab.power_cycle()


@pytest.fixture
def visa(lab: Lab, patience: Callable[[float], float]) -> Iterator[Callable[[str], Any]]:
    """Open a box by pyvisa-py until the end of the test."""
    manager = pyvisa.ResourceManager("@py")
    with contextlib.ExitStack() as opened:

        def open_box(name: str) -> Any:
            resource = manager.open_resource(
                lab.resources[name],
                read_termination="\n",
                write_termination="\n",
                timeout=1000 * patience(10),
            )
            opened.callback(resource.close)
            return resource

        yield open_box


def interface(resource: Any) -> Any:
    """pyvisa-py's HiSLIP client below a resource."""
    return resource.visalib.sessions[resource.session].interface


class Bare:
    """A client whose messages are written out."""

    def __init__(
        self, resource: str, *, join: bool = True, version: int = 0x0200, seconds: float = 20
    ) -> None:
        host, name = resource.split("::")[1:3]
        self.address = host, int(name.split(",")[1])
        self.seconds = seconds
        self.number = FIRST
        self.delivered = False
        self.sync = self.connect()
        self.send(self.sync, Kind.INITIALIZE, 0, version << 16 | 0x7878, b"hislip0")
        self.welcome = self.receive(self.sync)
        if join:
            self.other = self.connect()
            self.send(self.other, Kind.ASYNC_INITIALIZE, 0, self.welcome[2] & 0xFFFF)
            assert self.receive(self.other)[0] == Kind.ASYNC_INITIALIZE_RESPONSE

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync.close()
        if hasattr(self, "other"):
            self.other.close()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=self.seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    @staticmethod
    def send(
        sock: socket.socket, kind: int, control: int = 0, parameter: int = 0, payload: bytes = b""
    ) -> None:
        sock.sendall(HEADER.pack(b"HS", kind, control, parameter, len(payload)) + payload)

    def receive(self, sock: socket.socket) -> tuple[int, int, int, bytes]:
        with sock.dup() as copy, copy.makefile("rb", buffering=0) as file:

            def exactly(count: int) -> bytes:
                data = b""
                while len(data) < count:
                    part = file.read(count - len(data))
                    if not part:
                        raise EOFError
                    data += part
                return data

            prologue, kind, control, parameter, length = HEADER.unpack(exactly(HEADER.size))
            assert prologue == b"HS"
            self.delivered |= kind == Kind.DATA_END
            return kind, control, parameter, exactly(length)

    def tell(self, message: bytes, *, kind: int = Kind.DATA_END) -> int:
        """Send a message on the synchronous channel; gives its number."""
        delivered, self.delivered = self.delivered, False
        number, self.number = self.number, (self.number + 2) & 0xFFFF_FFFF
        self.send(self.sync, kind, int(delivered), number, message)
        return number

    def ask(self, message: bytes) -> bytes:
        """Send a question and give the whole answer, which has to belong to it."""
        number, answer = self.tell(message), b""
        while True:
            kind, control, parameter, payload = self.receive(self.sync)
            assert kind in (Kind.DATA, Kind.DATA_END)
            assert (control, parameter) == (0, number)
            answer += payload
            if kind == Kind.DATA_END:
                return answer

    def poll(self, *, delivered: bool = False) -> int:
        """The status byte."""
        self.send(self.other, Kind.ASYNC_STATUS_QUERY, int(delivered), self.number)
        kind, status, _, _ = self.receive(self.other)
        assert kind == Kind.ASYNC_STATUS_RESPONSE
        return status

    def lock(self, milliseconds: int = 5000, *, release: bool = False) -> int:
        """Ask for the exclusive lock, or give it back; gives the answer."""
        self.send(self.other, Kind.ASYNC_LOCK, int(not release), 0 if release else milliseconds)
        kind, answer, _, _ = self.receive(self.other)
        assert kind == Kind.ASYNC_LOCK_RESPONSE
        return answer

    def clear(self) -> None:
        """Device clear, as the standard has it: what still comes is thrown away."""
        self.send(self.other, Kind.ASYNC_DEVICE_CLEAR)
        assert self.receive(self.other)[0] == Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE
        self.send(self.sync, Kind.DEVICE_CLEAR_COMPLETE)
        while self.receive(self.sync)[0] != Kind.DEVICE_CLEAR_ACKNOWLEDGE:
            pass
        self.number = FIRST


@pytest.fixture
def bare(lab: Lab, patience: Callable[[float], float]) -> Iterator[Callable[..., Bare]]:
    with contextlib.ExitStack() as opened:
        yield lambda name="board", **how: opened.enter_context(
            Bare(lab.resources[name], seconds=patience(20), **how)
        )


# --- pyvisa-py, at every box ---


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


def test_a_block_that_is_cut_has_no_end(bare) -> None:
    client = bare()
    client.tell(b"SIM:FAUL:DROP 0;:SEQ:MODE TOGG;:ACQ:BLOC 64;:OUTP ON;:INIT")
    assert client.ask(b"SYST:ERR?").startswith(b"0,")
    client.tell(b"FETC?")
    kind, _, _, block = client.receive(client.sync)
    assert (kind, block[:1]) == (Kind.DATA, b"#"), block[:40]
    with pytest.raises((EOFError, ConnectionError)):
        client.receive(client.sync)


# --- what the standard says of messages ---


@pytest.mark.parametrize(
    ("asked", "given"), [(0x0100, 0x0100), (0x0101, 0x0101), (0x0200, 0x0200), (0x0300, 0x0200)]
)
def test_the_older_protocol_of_both_is_spoken_and_never_overlapped(bare, asked, given) -> None:
    kind, control, parameter, payload = bare(version=asked).welcome
    assert (kind, control, parameter >> 16, payload) == (Kind.INITIALIZE_RESPONSE, 0, given, b"")


def test_message_available_until_the_end_is_delivered(bare, wait_until) -> None:
    client = bare()
    client.tell(b"*OPC?")
    wait_until(lambda: client.poll() & 16)
    assert client.receive(client.sync)[3] == b"1\n"
    assert client.poll() & 16, "the client has not said that it has read it"
    assert not client.poll(delivered=True) & 16
    assert client.ask(b"SYST:ERR:COUN?") == b"0\n"


def test_an_interrupted_answer_is_told_on_both_channels(bare, wait_until) -> None:
    client = bare()
    client.tell(b"*OPC?")
    wait_until(lambda: client.poll() & 16)
    number = client.tell(b"*IDN?")
    assert client.receive(client.other) == (Kind.ASYNC_INTERRUPTED, 0, number, b"")
    assert client.receive(client.sync)[0] == Kind.DATA_END
    assert client.receive(client.sync) == (Kind.INTERRUPTED, 0, number, b"")
    assert client.receive(client.sync)[2] == number
    assert client.ask(b"SYST:ERR?").startswith(b"-410")


def test_a_device_clear_ends_answers_messages_and_waiting(bare, wait_until) -> None:
    client, other = bare(), bare()
    client.tell(b"*OPC?")
    wait_until(lambda: client.poll() & 16)
    client.tell(b"*ES", kind=Kind.DATA)  # interrupts
    assert client.receive(client.other)[0] == Kind.ASYNC_INTERRUPTED
    client.clear()
    assert not client.poll() & 16
    assert client.ask(b"SYST:ERR?").startswith(b"-410")
    assert client.ask(b"SYST:ERR?").startswith(b"0,")
    assert other.lock() == 1
    client.tell(b"*OPC?")
    client.clear()  # though the other one has the lock
    client.tell(b"*IDN?")
    assert other.lock(release=True) == 1
    assert client.receive(client.sync)[3].startswith(b"MEMTJ")


def test_a_lock_of_who_is_gone_is_free_and_a_wait_for_it_ends(bare) -> None:
    holder, waiting, third = bare(), bare(), bare()
    assert holder.lock() == 1
    waiting.send(waiting.other, Kind.ASYNC_LOCK, 1, 0xFFFF_FFFF)
    waiting.__exit__()
    time.sleep(0.3)
    holder.__exit__()
    assert third.lock() == 1


def test_sizes_are_bounded(bare) -> None:
    client = bare()
    client.send(client.other, Kind.ASYNC_MAXIMUM_MESSAGE_SIZE, 0, 0, struct.pack("!Q", 0))
    assert client.receive(client.other)[3] == struct.pack("!Q", LARGEST)
    assert client.ask(b"*OPC?") == b"1\n"  # byte by byte
    client.tell(bytes(LARGEST + 1))
    assert client.receive(client.sync)[:2] == (Kind.ERROR, Mistake.TOO_LARGE)
    assert client.ask(b"*OPC?") == b"1\n"
    with contextlib.suppress(OSError):  # a line that does not end
        for _ in range(100):
            client.tell(b"A" * 65536, kind=Kind.DATA)
    with pytest.raises((EOFError, ConnectionError)):
        client.receive(client.sync)


WRONG = {
    "no header": (b"GET / HTTP/1.1\r\n\r\n", Fatal.HEADER),
    "data first": (HEADER.pack(b"HS", Kind.DATA_END, 0, 0, 0), Fatal.INITIALIZATION),
    "another device": (HEADER.pack(b"HS", 0, 0, 0x01000000, 7) + b"hislip1", Fatal.INITIALIZATION),
    "a long name": (HEADER.pack(b"HS", 0, 0, 0x01000000, 1 << 60), Fatal.HEADER),
    "protocol 0.9": (HEADER.pack(b"HS", 0, 0, 0x00090000, 7) + b"hislip0", Fatal.INITIALIZATION),
    "no such session": (HEADER.pack(b"HS", Kind.ASYNC_INITIALIZE, 0, 0xFFFF, 0), Fatal.INITIALIZATION),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_beginnings(bare, name) -> None:
    data, code = WRONG[name]
    client = bare(join=False)
    with client.connect() as sock:
        sock.sendall(data)
        assert client.receive(sock)[:2] == (Kind.FATAL_ERROR, code)
    client.tell(b"*IDN?")
    assert client.receive(client.sync)[:2] == (Kind.FATAL_ERROR, Fatal.ONE_CHANNEL)


def test_unknown_types_and_control_codes_are_errors_and_the_connection_goes_on(bare) -> None:
    client = bare()
    for sock, kind, control, code in (
        (client.sync, 77, 0, Mistake.KIND),
        (client.sync, Kind.ASYNC_LOCK, 0, Mistake.KIND),
        (client.other, 200, 0, Mistake.KIND),
        (client.other, Kind.DATA_END, 0, Mistake.KIND),
        (client.other, Kind.ASYNC_LOCK, 9, Mistake.CONTROL),
        (client.other, Kind.ASYNC_REMOTE_LOCAL_CONTROL, 9, Mistake.CONTROL),
        (client.other, Kind.ASYNC_MAXIMUM_MESSAGE_SIZE, 0, Mistake.UNIDENTIFIED),
    ):
        client.send(sock, kind, control, 0, b"abc")
        assert client.receive(sock)[:2] == (Kind.ERROR, code)
    client.send(client.other, Kind.ASYNC_REMOTE_LOCAL_CONTROL, 6)
    assert client.receive(client.other)[0] == Kind.ASYNC_REMOTE_LOCAL_RESPONSE
    assert client.ask(b"*OPC?") == b"1\n"


def test_one_client_too_many(bare) -> None:
    client = [bare() for _ in range(MAX_CLIENTS)][-1]
    with client.connect() as sock:
        assert client.receive(sock)[:2] == (Kind.FATAL_ERROR, Fatal.TOO_MANY)
    assert client.ask(b"*OPC?") == b"1\n"


def _nonsense(rng: random.Random) -> bytes:
    """A message of either channel, of any type and of few bytes; in one of two hundred the length is a lie."""
    payload = rng.choice(
        [
            b"",
            b"*IDN?",
            b"*OPC?\n*IDN?\n",
            b"ARR:MASK #",
            b"#9",
            b"FETC?",
            b"*TRG\n",
            rng.randbytes(rng.randrange(40)),
        ]
    )
    length = rng.choice([1 << 62, 1 << 20, len(payload) + 1]) if rng.random() < 0.005 else len(payload)
    prologue = b"HS" if rng.random() < 0.995 else rng.randbytes(2)
    kind = rng.randrange(256) if rng.random() < 0.2 else rng.randrange(30)
    if kind == Kind.FATAL_ERROR and rng.random() < 0.9:  # it ends the connection
        kind = Kind.DATA_END
    parameter = rng.choice([0, 1, FIRST, 0xFFFF_FFFF]) if kind != Kind.ASYNC_LOCK else 0
    return HEADER.pack(prologue, kind, rng.randrange(4), parameter, length) + payload


def test_ten_thousand_messages_of_nonsense(lab: Lab, visa, wait_until, patience, monkeypatch) -> None:
    read = Channel.header
    taken: list[int] = []

    def counted(channel: Channel, **how: Any) -> Any:
        header = read(channel, **how)
        taken.append(header.kind)
        return header

    monkeypatch.setattr(Channel, "header", counted)
    threads = threading.active_count()
    rng, began = random.Random(19), time.monotonic()
    while len(taken) < 10_000:
        name = rng.choice(BOXES)
        with Bare(lab.resources[name], seconds=patience(10)) as client, contextlib.suppress(ConnectionError):
            for _ in range(200):
                rng.choice((client.sync, client.other)).sendall(_nonsense(rng))
            for sock in (client.sync, client.other):  # all of it is read before the end is seen
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_WR)
            for sock in (client.sync, client.other):
                while sock.recv(65536):
                    pass
    assert time.monotonic() - began < patience(20)
    wait_until(lambda: threading.active_count() <= threads)
    for name in BOXES:
        assert visa(name).query("*IDN?").count(",") == 3

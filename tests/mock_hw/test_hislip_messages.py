"""What the standard says of HiSLIP's messages, by a bare client that says what no honest one would."""

import contextlib
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mock_hw import Lab
from mock_hw._wires import MAX_CLIENTS, HislipWire
from mock_hw._wires._hislip_messages import LARGEST, Channel, Fatal, Kind, Mistake
from tests.mock_hw.hislip_client import BOXES, FIRST, HEADER, Bare, every_box


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with every_box(wire="hislip") as lab:
        yield lab


@pytest.fixture(autouse=True)
def _as_after_power_on(lab: Lab) -> None:
    lab.power_cycle()


@pytest.fixture
def bare(lab: Lab, patience: Callable[[float], float]) -> Iterator[Callable[..., Bare]]:
    with contextlib.ExitStack() as opened:
        yield lambda name="board", **how: opened.enter_context(
            Bare(lab.resources[name], seconds=patience(20), **how)
        )


def test_a_block_that_is_cut_has_no_end(bare) -> None:
    client = bare()
    client.tell(b"SIM:FAUL:DROP 0;:SEQ:MODE TOGG;:ACQ:BLOC 64;:OUTP ON;:INIT")
    assert client.ask(b"SYST:ERR?").startswith(b"0,")
    client.tell(b"FETC?")
    kind, _, _, block = client.receive(client.sync)
    assert (kind, block[:1]) == (Kind.DATA, b"#"), block[:40]
    with pytest.raises((EOFError, ConnectionError)):
        client.receive(client.sync)


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


@pytest.mark.parametrize("cut", [("sync",), ("other",), ("sync", "other")], ids="-".join)
def test_the_output_of_who_is_gone_is_off(lab: Lab, bare, wait_until, cut) -> None:
    board, client = lab.boxes["board"], bare()
    client.tell(b"OUTP ON")
    wait_until(lambda: board.output)
    for name in cut:
        getattr(client, name).close()
    wait_until(lambda: not board.output)
    wait_until(lambda: not board.connections)


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="what waits in a channel hides its end here")
def test_nor_does_a_lock_keep_on_the_output_of_who_is_gone(lab: Lab, bare, wait_until) -> None:
    """It waited for the lock of another on both channels, and more was on its way on both."""
    board, client, holder = lab.boxes["board"], bare(), bare()
    client.tell(b"OUTP ON")
    wait_until(lambda: board.output)
    assert holder.lock() == 1
    client.tell(b"*OPC?")
    client.tell(b"*OPC?")
    client.send(client.other, Kind.ASYNC_LOCK, 1, 0xFFFF_FFFF)
    client.send(client.other, Kind.ASYNC_STATUS_QUERY)
    client.__exit__()
    wait_until(lambda: not board.output)
    assert holder.ask(b"*OPC?") == b"1\n"


def test_a_client_of_one_channel_is_told_why_it_is_closed(lab: Lab, patience) -> None:
    wire = HislipWire(lab.faults["board"], send_timeout=0.2)
    with contextlib.closing(wire), Bare(wire.resource, join=False, seconds=patience(10)) as client:
        assert client.receive(client.sync)[:2] == (Kind.FATAL_ERROR, Fatal.ONE_CHANNEL)
        with pytest.raises((EOFError, ConnectionError)):
            client.receive(client.sync)


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

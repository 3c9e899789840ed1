"""What VXI-11 says of its calls, by a bare client that says what no honest one would."""

import contextlib
import random
import select
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from mock_hw import Lab, LabError
from mock_hw._wires import MAX_LINKS, _rpc, _vxi11
from tests.mock_hw.conftest import OPERATING
from tests.mock_hw.every_box import lab_of, opened
from tests.mock_hw.vxi11_client import (
    ABORT,
    CHARACTER,
    CLEAR,
    CORE,
    COUNT,
    CREATE_CHANNEL,
    DESTROY,
    DESTROY_CHANNEL,
    DOCMD,
    ENABLE_SRQ,
    END,
    ENDED,
    LOCAL,
    LOCK,
    PORTMAPPER,
    READ,
    REMOTE,
    STATUS,
    TERMINATED,
    TRIGGER,
    UNLOCK,
    WAIT,
    WRITE,
    Bare,
    opaque,
    words,
)

SPEAKING = ("board", "generator", "fast_generator", "meter", "supply")
NO_LINK, PARAMETER, NO_CHANNEL, UNSUPPORTED, NO_RESOURCES, LOCKED, NOT_LOCKED, TIMEOUT, ABORTED = (
    4, 5, 6, 8, 9, 11, 12, 15, 23,
)  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of("vxi11") as lab:
        yield lab


@pytest.fixture(autouse=True)
def _as_after_power_on(lab: Lab) -> None:
    lab.power_cycle()


@pytest.fixture
def bare(lab: Lab, patience: Callable[[float], float]) -> Iterator[Callable[..., Bare]]:
    with contextlib.ExitStack() as stack:
        yield lambda name="board", **how: stack.enter_context(
            Bare(lab.resources[name], seconds=patience(20), **how)
        )


def test_a_read_ends_with_the_message_a_character_or_a_count(bare) -> None:
    client = bare()
    client.write(b"*ESE 5;*ESE?;*SRE?")
    assert client.read(2) == (0, COUNT, b"5;")
    assert client.read(2) == (0, COUNT | ENDED, b"0\n")
    client.write(b"*ESE?;*SRE?\n")
    assert client.read(flags=TERMINATED, character=ord(";")) == (0, CHARACTER, b"5;")
    assert client.read(flags=TERMINATED, character=ord("\n")) == (0, CHARACTER | ENDED, b"0\n")
    client.write(b"*OPC?")
    assert client.read(0) == (0, COUNT, b"")
    assert client.read() == (0, ENDED, b"1\n")


def test_a_message_ends_where_the_flag_says(bare) -> None:
    client = bare()
    for part in (b"*E", b"SE 7;*ES", b"E?"):
        assert client.write(part, flags=0) == (0, len(part))
    assert client.read(milliseconds=50) == (TIMEOUT, 0, b"")
    client.write(b"")
    assert client.read() == (0, ENDED, b"7\n")
    assert client.ask(b"SYST:ERR?").startswith(b"-420"), "who reads in the middle of a message is told"
    client.write(b"ARR:MASK #215abc")
    assert client.ask(b"SYST:ERR?").startswith(b"-161")


def test_records_may_come_in_fragments_of_any_size(bare) -> None:
    client = bare()
    for size in (1, 3, 50):
        client.send(client.head(WRITE) + words(client.link, 1000, 0, END) + opaque(b"*OPC?"), pieces=size)
        assert client.receive()[24:] == words(0, 5)
        assert client.read() == (0, ENDED, b"1\n")


def test_an_unread_rest_is_interrupted(bare) -> None:
    client = bare()
    client.write(b"*IDN?")
    assert client.read(5) == (0, COUNT, b"MEMTJ")
    assert client.ask(b"*OPC?") == b"1\n"
    assert client.ask(b"SYST:ERR?").startswith(b"-410")


def test_a_read_that_is_too_early_loses_nothing(bare) -> None:
    client = bare()
    client.write(b"SIM:FAUL:DEL 0.4")
    client.write(b"*OPC?")
    assert client.read(milliseconds=50) == (TIMEOUT, 0, b"")
    assert client.read(milliseconds=60_000) == (0, ENDED, b"1\n")
    client.write(b"SIM:FAUL:CLE")
    assert client.ask(b"SYST:ERR:COUN?") == b"0\n"


def test_a_device_clear_ends_answers_messages_and_waiting(bare) -> None:
    client = bare()
    client.write(b"*OPC?")
    client.write(b"*ES", flags=0)
    assert client.generic(CLEAR) == (0,)
    assert not client.generic(STATUS)[1] & 16
    assert client.ask(b"SYST:ERR?").startswith(
        (b"-410", b"0,")
    )  # it may have been cleared before it was interrupted
    assert client.ask(b"SYST:ERR?").startswith(b"0,")
    client.write(b"SIM:FAUL:DEL 60")
    client.write(b"*OPC?")
    client.write(b"SIM:FAUL:CLE")
    assert client.generic(CLEAR) == (0,)  # what waits behind the delay is forgotten with it
    client.write(b"SIM:FAUL:CLE")
    assert client.ask(b"SYST:ERR?").startswith(b"0,")


@pytest.mark.parametrize("name", SPEAKING)
def test_locks_and_how_long_they_are_waited_for(bare, name) -> None:
    one, two = bare(name), bare(name)
    assert one.numbers(UNLOCK, one.link) == (NOT_LOCKED,)
    assert one.numbers(LOCK, one.link, 0, 0) == (0,)
    began = time.monotonic()
    assert two.numbers(LOCK, two.link, WAIT, 200) == (LOCKED,)
    assert time.monotonic() - began >= 0.2
    assert two.write(b"*IDN?", lock=60_000) == (LOCKED, 0)  # it did not ask to wait
    assert two.read()[0] == LOCKED
    for procedure in (STATUS, TRIGGER, CLEAR, REMOTE, LOCAL):
        assert two.generic(procedure)[0] == LOCKED
    assert two.create(lock=True, milliseconds=50)[0] == LOCKED
    assert one.ask(b"*IDN?").count(b",") == 3
    assert one.numbers(UNLOCK, one.link) == (0,)
    assert two.ask(b"*IDN?").count(b",") == 3
    assert two.create(lock=True)[0] == 0
    assert two.numbers(LOCK, two.link, 0, 0) == (LOCKED,), "another link of the same client has it"
    two.socket.close()  # and its lock is free
    assert one.write(b"*IDN?", WAIT | END, lock=60_000) == (0, 5)


def test_an_abort_ends_what_a_link_waits_for(bare) -> None:
    client, other, holder = bare(), bare(link=False), bare()
    assert client.abort_port == client.address[1]
    assert other.numbers(1, client.link, program=ABORT) == (0,)  # nothing to be aborted
    assert other.numbers(1, 1 << 30, program=ABORT) == (NO_LINK,)

    def abort_soon() -> None:
        time.sleep(0.2)
        other.numbers(1, client.link, program=ABORT)

    for wait in (
        lambda: client.read(milliseconds=0xFFFF_FFFF),
        lambda: client.write(b"*CLS", WAIT, lock=600_000),
    ):
        thread = threading.Thread(target=abort_soon)
        thread.start()
        assert wait()[0] == ABORTED
        thread.join()
        assert holder.numbers(LOCK, holder.link, 0, 0) in ((0,), (LOCKED,))


def test_what_is_not_simulated_says_so(bare) -> None:
    client = bare()
    assert client.numbers(CREATE_CHANNEL, 0x7F000001, 1000, 0x0607B1, 1, 0) == (UNSUPPORTED,)
    assert client.numbers(DESTROY_CHANNEL) == (NO_CHANNEL,)
    assert client.call(ENABLE_SRQ, words(client.link, 1) + opaque(b"handle")) == words(UNSUPPORTED)
    assert client.call(DOCMD, words(client.link, 0, 0, 0, 1, 1, 1) + opaque(b"")) == words(UNSUPPORTED, 0)
    for procedure in (REMOTE, LOCAL):
        assert client.generic(procedure) == (0,)


def test_links_are_their_clients_own(bare) -> None:
    client, other = bare(), bare()
    assert client.create(b"gpib0,9")[0] == 3
    assert client.create(b"INST0")[0] == 0
    assert client.numbers(DESTROY, other.link) == (NO_LINK,)
    assert client.numbers(DESTROY, client.link) == (0,)
    assert client.write(b"*IDN?") == (NO_LINK, 0)
    assert client.read() == (NO_LINK, 0, b"")
    assert client.generic(STATUS) == (NO_LINK, 0)
    assert other.ask(b"*OPC?") == b"1\n"


def test_one_link_too_many(bare) -> None:
    client = bare()
    assert [client.create()[0] for _ in range(MAX_LINKS)] == [0] * (MAX_LINKS - 1) + [NO_RESOURCES]
    assert client.ask(b"*OPC?") == b"1\n"


def test_who_asks_for_ports_is_told_this_one(bare) -> None:
    client = bare()
    for program, version, protocol in ((CORE, 1, 6), (ABORT, 1, 6), (CORE, 1, 17), (CORE, 2, 6), (7, 1, 6)):
        here = client.address[1] if (version, protocol) == (1, 6) and program != 7 else 0
        result = client.call(3, words(program, version, protocol, 0), PORTMAPPER, 2)
        assert result == words(here)
    assert client.call(0) == b""


def test_calls_that_are_none_get_what_the_standard_says(bare) -> None:
    client = bare()
    for record, reply in (
        (words(1, 0, 3, CORE, 1, READ, 0, 0, 0, 0), words(1, 1, 1, 0, 2, 2)),
        (words(2, 0, 2, 99, 1, READ, 0, 0, 0, 0), words(2, 1, 0, 0, 0, 1)),
        (words(3, 0, 2, CORE, 7, READ, 0, 0, 0, 0), words(3, 1, 0, 0, 0, 2, 1, 1)),
        (words(4, 0, 2, CORE, 1, 99, 0, 0, 0, 0), words(4, 1, 0, 0, 0, 3)),
        (words(5, 0, 2, CORE, 1, READ, 0, 0, 0, 0, client.link), words(5, 1, 0, 0, 0, 4)),
        (words(6, 0, 2, CORE, 1, READ, 1, 8, 0, 0, 0, 0, client.link), words(6, 1, 0, 0, 0, 4)),
    ):
        client.send(record)
        assert client.receive() == reply
    assert client.write(bytes(client.largest + 1)) == (PARAMETER, 0)
    assert client.ask(b"*OPC?") == b"1\n"


HOSTILE = {
    "no record": b"GET / HTTP/1.1\r\n\r\n",
    "a record of 2 GB": words((1 << 32) - 1) + b"A" * 100_000,
    "a call without its head": words((1 << 31) | 8, 1, 0),
    "a reply": words((1 << 31) | 24, 1, 1, 0, 0, 0, 0),
    "credentials of a gigabyte": words((1 << 31) | 40, 1, 0, 2, CORE, 1, READ, 0, 1 << 30, 0, 0),
    "a line without an end": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_records_end_the_connection_and_nothing_else(bare, wait_until, name) -> None:
    client, witness = bare(), bare()
    memory = psutil.Process().memory_info().rss
    with contextlib.suppress(OSError, EOFError):
        client.socket.sendall(HOSTILE[name])
        while not HOSTILE[name]:
            client.write(b"A" * client.largest, 0)
    with contextlib.suppress(OSError):
        while client.socket.recv(65536):
            pass
    assert witness.ask(b"*OPC?") == b"1\n"
    assert psutil.Process().memory_info().rss - memory < 16 << 20


def test_a_flood_of_empty_fragments_can_be_left(bare) -> None:
    with bare() as client:
        client.socket.sendall(words(0) * 20_000)
        client.send(client.head(0))
        assert client.receive()[24:] == b""


def test_a_client_that_never_reads_is_given_up(wait_until) -> None:
    with lab_of("tcp", "board", rows=64, columns=64) as lab:
        wire = _vxi11.Vxi11Wire(lab.faults["board"], send_timeout=0.3)
        with contextlib.closing(wire), Bare(wire.resource) as client:
            client.write(f"{OPERATING};:SYST:WATC 60;:SEQ:MODE TOGG;:ACQ:BLOC 2048;:OUTP ON;:INIT".encode())
            wait_until(lambda: lab.boxes["board"].output)
            client.socket.setblocking(False)
            calls = client.head(WRITE) + words(client.link, 5000, 0, END) + opaque(b"FETC?")
            with contextlib.suppress(OSError):  # of a megabyte each
                for _ in range(1000):
                    client.send(calls)
                    client.send(client.head(READ) + words(client.link, 1 << 21, 5000, 0, 0, 0))
            wait_until(lambda: not lab.boxes["board"].output)


def output_of_who_is_gone(lab: Lab, client: Bare, wait_until: Callable[..., None]) -> None:
    board = lab.boxes["board"]
    wait_until(lambda: board.output)
    client.socket.close()
    wait_until(lambda: not board.output)
    wait_until(lambda: not board.connections)


def test_the_output_of_who_is_gone_is_off(lab: Lab, bare, wait_until) -> None:
    client = bare()
    client.write(b"OUTP ON")
    client.send(client.head(READ) + words(client.link, 10, 0xFFFF_FFFF, 0, 0, 0))  # it waits for ever
    output_of_who_is_gone(lab, client, wait_until)


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="what waits in a connection hides its end here")
def test_nor_does_a_lock_or_what_waits_keep_it_on(lab: Lab, bare, wait_until) -> None:
    client = bare()
    client.write(b"OUTP ON")
    wait_until(lambda: lab.boxes["board"].output)
    holder = bare()
    assert holder.numbers(LOCK, holder.link, 0, 0) == (0,)
    for _ in range(3):
        client.send(client.head(WRITE) + words(client.link, 0xFFFF_FFFF, 0xFFFF_FFFF, WAIT) + opaque(b"*CLS"))
    client.socket.close()
    wait_until(lambda: not lab.boxes["board"].output)


def test_the_output_of_a_link_that_is_destroyed_is_off(lab: Lab, bare, wait_until) -> None:
    client = bare()
    client.write(b"OUTP ON")
    wait_until(lambda: lab.boxes["board"].output)
    assert client.numbers(DESTROY, client.link) == (0,)
    assert not lab.boxes["board"].output


@pytest.mark.parametrize("name", SPEAKING)
def test_connections_that_are_cut(lab: Lab, bare, wait_until, patience, name) -> None:
    threads = threading.active_count()
    with bare(name) as client:
        client.socket.sendall(words((1 << 31) | 1000) + client.head(WRITE))
    wait_until(lambda: threading.active_count() <= threads)
    client = bare(name)
    lab.power_cycle(name)
    with pytest.raises((EOFError, OSError)):
        client.ask(b"*IDN?")
    with opened(lab, name, patience(10)) as box:
        assert box.query("*IDN?").count(",") == 3


def _nonsense(rng: random.Random, client: Bare) -> bytes:
    """A record of any procedure with few arguments, right ones or not; in one of two hundred its length is a lie."""
    data = rng.choice(
        [b"", b"*IDN?", b"*OPC?\n*IDN?\n", b"ARR:MASK #", b"#9", b"FETC?", b"*TRG\n", rng.randbytes(30)]
    )
    link = rng.choice([client.link, client.link, client.link, 0, rng.randrange(1 << 32)])
    time_out = rng.choice([0, 0, 1, 2])
    arguments = {
        10: words(1, rng.randrange(2), time_out) + opaque(rng.choice([b"inst0", b"inst1", data])),
        WRITE: words(link, time_out, 0, rng.randrange(256)) + opaque(data),
        READ: words(
            link, rng.choice([0, 1, 100, 1 << 31]), time_out, 0, rng.randrange(256), rng.randrange(256)
        ),
    }
    procedure = rng.choice([WRITE, READ, rng.randrange(30), rng.randrange(1 << 32)])
    rest = arguments.get(procedure, words(link, rng.randrange(4), time_out, time_out))
    if rng.random() < 0.1:
        rest = rest[: rng.randrange(len(rest) + 1)]
    program = CORE if rng.random() < 0.95 else rng.choice([ABORT, PORTMAPPER, rng.randrange(1 << 32)])
    record = client.head(procedure, program, 1 if rng.random() < 0.98 else rng.randrange(4)) + rest
    length = rng.choice([1 << 30, 60_000, len(record) + 1]) if rng.random() < 0.005 else len(record)
    return words((1 << 31) | length) + record


def test_ten_thousand_calls_of_nonsense(lab: Lab, wait_until, patience, monkeypatch) -> None:
    answer = _rpc.answer
    taken: list[int] = []

    def counted(record: bytes, programs: dict[int, _rpc.Program]) -> bytes | None:
        taken.append(len(record))
        return answer(record, programs)

    monkeypatch.setattr(_vxi11, "answer", counted)
    threads, memory = threading.active_count(), psutil.Process().memory_info().rss
    rng, began = random.Random(19), time.monotonic()
    while len(taken) < 10_000:
        name = rng.choice(list(lab.resources))
        with Bare(lab.resources[name], seconds=patience(10)) as client, contextlib.suppress(ConnectionError):
            reader = threading.Thread(target=_read_all, args=(client.socket,))
            reader.start()
            with contextlib.suppress(OSError):
                for _ in range(200):
                    client.socket.sendall(_nonsense(rng, client))
                client.socket.shutdown(socket.SHUT_WR)
            reader.join(patience(10))
            assert not reader.is_alive()
    assert time.monotonic() - began < patience(20)
    wait_until(lambda: threading.active_count() <= threads)
    assert psutil.Process().memory_info().rss - memory < 48 << 20
    for name in lab.resources:
        with opened(lab, name, patience(10)) as box:
            assert box.query("*IDN?").count(",") == 3


def _read_all(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


@pytest.mark.skipif(shutil.which("lxi") is None, reason="lxi-tools are not installed")
def test_lxi_tools_ask_the_wire_itself_for_its_port() -> None:
    """On port 111, the only one that they know: the wire is its own portmapper."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lab_of("vxi11", "board", port=111))
        except LabError as reason:
            pytest.skip(str(reason))
        for question, answer in (
            (b"*IDN?", b"MEMTJ,ARRAY-BOARD-SIM,0001,1.2\n"),
            (b"*CLS", b""),
            (b"*ESE 5;*ESE?", b"5\n"),
        ):
            run = subprocess.run(
                ["lxi", "scpi", "-a", "127.0.0.1", "-t", "5", question], capture_output=True, timeout=30
            )
            assert (run.returncode, run.stdout) == (0, answer)

"""A box on the GPIB by a bare connection to the adapter, with the words of pyvisa's resources."""

import contextlib
import re
import socket
from collections.abc import Iterator
from typing import Self

from mock_hw import Lab

_SPECIAL = re.compile(rb"[\r\n\x1b+]")


class Adapter:
    """A bare connection to a Prologix adapter."""

    def __init__(self, resource: str, *, seconds: float = 20) -> None:
        host, port = resource.split("::")[1:3]
        self.seconds = seconds
        self.socket = socket.create_connection((host, int(port)), timeout=seconds)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, line: bytes) -> None:
        """A line as it is."""
        self.socket.sendall(line + b"\n")

    def ask(self, line: bytes) -> bytes:
        """What the adapter answers to one of its commands."""
        self.send(line)
        answer = self.file.readline()
        assert answer.endswith(b"\r\n"), answer
        return answer[:-2]

    def until_closed(self) -> bytes:
        with contextlib.suppress(ConnectionError):
            return self.file.read()
        return b""


class Box:
    """A box at an address."""

    def __init__(self, adapter: Adapter, address: int) -> None:
        self.adapter = adapter
        for line in (
            f"++addr {address}",
            "++clr",
            "++auto 0",
            "++eos 3",
            "++eoi 1",
            "++eot_enable 0",
            "++read_tmo_ms 3000",
        ):
            adapter.send(line.encode())

    @property
    def timeout(self) -> float:
        return 1000 * (self.adapter.socket.gettimeout() or 0)

    @timeout.setter
    def timeout(self, milliseconds: float) -> None:
        self.adapter.socket.settimeout(milliseconds / 1000)
        self.adapter.file = self.adapter.socket.makefile("rb")
        self.adapter.send(b"++read_tmo_ms %d" % min(3000, milliseconds))

    def write_raw(self, message: bytes) -> None:
        self.adapter.send(_SPECIAL.sub(lambda found: b"\x1b" + found[0], message))

    def write(self, message: str) -> None:
        self.write_raw(message.encode())

    def read(self) -> str:
        self.adapter.send(b"++read eoi")
        return self.adapter.file.readline().decode().rstrip("\n")

    def query(self, message: str) -> str:
        self.write(message)
        return self.read()

    def read_stb(self) -> int:
        return int(self.adapter.ask(b"++spoll"))

    def clear(self) -> None:
        self.adapter.send(b"++clr")

    def assert_trigger(self) -> None:
        self.adapter.send(b"++trg")


@contextlib.contextmanager
def gpib(lab: Lab, name: str, seconds: float = 20) -> Iterator[Box]:
    """A box of a lab."""
    with Adapter(lab.resources["prologix"], seconds=seconds) as adapter:
        yield Box(adapter, int(lab.resources[name].split("::")[1]))

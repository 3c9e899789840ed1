"""A raw-socket client of the array board, and boards served on loopback ports."""

import socket
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from mock_hw import Lab


class Client:
    """Speaks lines and blocks on a plain socket: no driver of ours is involved."""

    opened: ClassVar[list["Client"]] = []

    def __init__(self, resource: str) -> None:
        _, host, port, _ = resource.split("::")
        self.socket = socket.create_connection((host, int(port)), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")
        self.opened.append(self)

    def send(self, message: str | bytes) -> None:
        data = message if isinstance(message, bytes) else message.encode("ascii") + b"\n"
        self.socket.sendall(data)

    def send_block(self, header: str, payload: bytes) -> None:
        size = str(len(payload)).encode()
        self.send(b"%s #%d%s%s\n" % (header.encode(), len(size), size, payload))

    def line(self) -> str:
        answer = self._file.readline()
        if not answer.endswith(b"\n"):
            raise EOFError(f"the board closed the connection after {answer!r}")
        return answer[:-1].decode("ascii")

    def ask(self, message: str) -> str:
        self.send(message)
        return self.line()

    def block(self, message: str) -> bytes:
        self.send(message)
        assert self._file.read(1) == b"#"
        size = int(self._file.read(int(self._file.read(1))))
        payload = self._file.read(size)
        assert self._file.read(1) == b"\n"
        return payload

    def error(self) -> int:
        """Number of the oldest error."""
        return int(self.ask("SYST:ERR?").split(",")[0])

    def errors(self, message: str | bytes) -> list[int]:
        """Numbers of all errors that a message without an answer causes."""
        self.send(message)
        numbers = []
        while number := self.error():
            numbers.append(number)
        return numbers

    def close(self) -> None:
        self._file.close()
        self.socket.close()


@pytest.fixture(autouse=True)
def no_client_is_left() -> Iterator[None]:
    """Close the clients of a test, one that failed before it closed them too."""
    yield
    while Client.opened:
        Client.opened.pop().close()


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.default(seed=20) as lab:
        yield lab


@pytest.fixture
def connect(lab: Lab) -> Callable[[], Client]:
    """Opens connections to the module's board; each test starts from a power cycle."""
    lab.power_cycle()
    return lambda: Client(lab.resources["board"])


@pytest.fixture
def client(connect: Callable[[], Client]) -> Client:
    return connect()

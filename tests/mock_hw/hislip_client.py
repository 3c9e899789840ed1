"""A HiSLIP client that says what no honest one would, and a lab of every box to say it to."""

import socket
import struct
from typing import Self

from mock_hw import Lab, LabSettings
from mock_hw._wires._hislip_messages import Kind

HEADER = struct.Struct("!2sBBIQ")
FIRST = 0xFFFF_FF00
BOXES = ("board", "generator", "meter")


def every_box(**wire: object) -> Lab:
    """A lab of an array board, and of the instruments at one junction, all on such a wire."""
    instrument = {"junction": "mtj", **wire}
    settings = {
        "junctions": {"mtj": {"device": "B"}},
        "boxes": {
            "board": {"kind": "array-board", "rows": 12, "columns": 10, **wire},
            "generator": {"kind": "agilent-33500", **instrument},
            "meter": {"kind": "keithley-2400", **instrument},
        },
    }
    return Lab(LabSettings.model_validate(settings), seed=5)


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

"""A VXI-11 client that says what no honest one would."""

import socket
import struct
from typing import Self

CORE, ABORT, PORTMAPPER = 0x0607AF, 0x0607B0, 100000
CREATE, WRITE, READ, STATUS, TRIGGER, CLEAR = range(10, 16)
REMOTE, LOCAL, LOCK, UNLOCK, ENABLE_SRQ = range(16, 21)
DOCMD, DESTROY, CREATE_CHANNEL, DESTROY_CHANNEL = 22, 23, 25, 26
WAIT, END, TERMINATED = 1, 8, 128
COUNT, CHARACTER, ENDED = 1, 2, 4
_LAST = 1 << 31


def words(*values: int) -> bytes:
    return struct.pack(f"!{len(values)}I", *values)


def opaque(data: bytes) -> bytes:
    return words(len(data)) + data + bytes(-len(data) % 4)


class Bare:
    """A client whose calls are written out; `link`: whether it begins with one."""

    def __init__(self, resource: str, *, link: bool = True, seconds: float = 20) -> None:
        host, port = resource.split("::")[1].split(",")
        self.address, self.seconds = (host, int(port)), seconds
        self.socket = self.connect()
        self.number = 0
        if link:
            error, self.link, self.abort_port, self.largest = self.create()
            assert error == 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, timeout=self.seconds)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def head(self, procedure: int, program: int = CORE, version: int = 1) -> bytes:
        self.number += 1
        return words(self.number, 0, 2, program, version, procedure, 0, 0, 0, 0)

    def send(self, record: bytes, *, pieces: int = 1 << 30) -> None:
        """Send a record in fragments of so many bytes."""
        cut = [record[start : start + pieces] for start in range(0, len(record), pieces)] or [b""]
        for part in cut[:-1]:
            self.socket.sendall(words(len(part)) + part)
        self.socket.sendall(words(_LAST | len(cut[-1])) + cut[-1])

    def receive(self) -> bytes:
        """The next reply, without its mark; raises EOFError where the connection is closed."""
        with self.socket.dup() as copy, copy.makefile("rb", buffering=0) as file:

            def exactly(count: int) -> bytes:
                data = b""
                while len(data) < count:
                    part = file.read(count - len(data))
                    if not part:
                        raise EOFError
                    data += part
                return data

            (mark,) = struct.unpack("!I", exactly(4))
            assert mark >= _LAST
            return exactly(mark - _LAST)

    def call(self, procedure: int, arguments: bytes = b"", program: int = CORE, version: int = 1) -> bytes:
        """What a call that succeeds returns."""
        self.send(self.head(procedure, program, version) + arguments)
        reply = self.receive()
        assert reply[:24] == words(self.number, 1, 0, 0, 0, 0), reply
        return reply[24:]

    def numbers(self, procedure: int, *arguments: int, program: int = CORE) -> tuple[int, ...]:
        """The numbers that a call with such arguments returns."""
        result = self.call(procedure, words(*arguments), program)
        return struct.unpack(f"!{len(result) // 4}I", result)

    def create(self, name: bytes = b"inst0", *, lock: bool = False, milliseconds: int = 0) -> tuple[int, ...]:
        result = self.call(CREATE, words(77, lock, milliseconds) + opaque(name))
        return struct.unpack("!4I", result)

    def write(
        self, data: bytes, flags: int = END, milliseconds: int = 5000, lock: int = 0
    ) -> tuple[int, ...]:
        """Error and count of a device_write."""
        result = self.call(WRITE, words(self.link, milliseconds, lock, flags) + opaque(data))
        return struct.unpack("!2I", result)

    def read(
        self, most: int = 10_000, milliseconds: int = 5000, flags: int = 0, character: int = 0, lock: int = 0
    ) -> tuple[int, int, bytes]:
        """Error, reason and data of a device_read."""
        result = self.call(READ, words(self.link, most, milliseconds, lock, flags, character))
        error, reason, length = struct.unpack("!3I", result[:12])
        return error, reason, result[12 : 12 + length]

    def ask(self, question: bytes) -> bytes:
        """The answer to a question, whole."""
        assert self.write(question) == (0, len(question))
        error, reason, data = self.read()
        assert (error, reason) == (0, ENDED)
        return data

    def generic(
        self, procedure: int, flags: int = 0, lock: int = 0, milliseconds: int = 5000
    ) -> tuple[int, ...]:
        """What a call with the parameters that most have returns."""
        return self.numbers(procedure, self.link, flags, lock, milliseconds)

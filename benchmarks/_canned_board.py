"""A server that answers `FETCh?` with blocks made beforehand: the speed of wire and driver without a board's own work.

`python -m benchmarks._canned_board BITS BLOCKS` prints its port and serves until its standard input closes.
`FETC?` answers the next of the prepared blocks of the array board's protocol, `PLAIN?` a definite-length block of
random bytes (for pyvisa's own `query_binary_values`), `RAW?` the same without any framing. `*ESE` and its query, which
are the driver's marks, are answered as well.
"""

import os
import socketserver
import struct
import sys
import threading
import zlib

CELLS = 4096
_HEADER = struct.Struct("<4sHHQQIIdQIIII")


def block(sequence: int, bits: int, data: bytes) -> bytes:
    """Return the answer to `FETCh?`: block number `sequence` with `bits` bits of `data`."""
    fields = (b"MTJB", 1, _HEADER.size, sequence, bits, CELLS, bits // CELLS, 0.0, 0, 16 | 4, 0, 0)
    crc = zlib.crc32(data, zlib.crc32(_HEADER.pack(*fields, 0)[:60]))
    payload = _HEADER.pack(*fields, crc) + data
    size = str(len(payload)).encode()
    return b"#%d%s%s\n" % (len(size), size, payload)


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        at, enabled = 0, b"0"
        for line in self.rfile:
            answers = []
            for unit in line.strip().upper().split(b";"):
                if unit.startswith(b"*ESE "):
                    enabled = unit[5:]
                elif unit == b"*ESE?":
                    answers.append(enabled)
                elif unit.startswith(b"FETC"):
                    answers.append(server.blocks[at])
                    at += 1
                elif unit.startswith(b"PLAIN"):
                    answers.append(server.plain)
                elif unit.startswith(b"RAW"):
                    answers.append(server.raw)
                elif unit.endswith(b"?"):
                    answers.append(b'0,"No error"')
            if answers:
                ended = max(map(len, answers)) >= len(server.raw)  # with the end of its block, or without one
                self.wfile.write(b";".join(answers) + (b"" if ended else b"\n"))


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, bits: int, count: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blocks = [block(number, bits, os.urandom(bits // 8)) for number in range(count)]
        self.raw = os.urandom(bits // 8)
        size = str(len(self.raw)).encode()
        self.plain = b"#%d%s%s\n" % (len(size), size, self.raw)


def main() -> None:
    """Serve; see the module."""
    bits, count = (int(argument) for argument in sys.argv[1:])
    with _Server(bits, count) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_address[1], flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main()

"""What HDF5 is shown of a buffer file: its bytes, as if the file had been closed.

HDF5 itself follows a growing file by reading damaged metadata again up to a hundred times, twice as long apart
each time, so that one flipped bit in a file that a killed writer left behind would stop the whole process for
years. Shown this way every part of the metadata is read once, and its checksum decides.
"""

import io
import os
import stat
import threading
from pathlib import Path

from .._errors import StoreError

# The superblock, version 3 (HDF5 file format specification 3.0, II.A): signature, version, two sizes, flags,
# four addresses, checksum.
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK = 48
_FLAGS = 11
_BASE, _EXTENSION, _END = slice(12, 20), slice(20, 28), slice(28, 36)
_UNDEFINED = b"\xff" * 8


class FileView(io.RawIOBase):
    """The bytes of one file, for `h5py.File` and for reading by offset; several threads may read by offset.

    `size`: bytes in the file; `being_written`: whether the file says that its writer did not close it. Raises
    StoreError where the file is missing or does not begin as a buffer does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.size = 0
        self.being_written = False
        self._at = 0
        self._head = b""
        self._mutex = threading.Lock()
        self._descriptor = _open_regular(path)

    def look(self) -> None:
        """See the file as it is by now; raises StoreError where its superblock is not that of a buffer."""
        self.size = os.fstat(self._descriptor).st_size
        head = self.bytes_at(0, min(_SUPERBLOCK, self.size))
        if not head.startswith(_SIGNATURE):
            raise StoreError(
                f"{self.path} cannot be opened as a buffer: it does not begin as an HDF5 file does; "
                "restore it from a copy, or keep it out of the store"
            )
        if len(head) < _SUPERBLOCK or head[8] != 3:
            raise StoreError(
                f"{self.path} cannot be opened as a buffer: its HDF5 superblock is not of version 3, and without "
                "that its metadata have no checksums; restore it from a copy, or keep it out of the store"
            )
        self.being_written = head[_FLAGS] != 0
        if checksum(head[:-4]) != int.from_bytes(head[-4:], "little"):
            raise StoreError(f"{self.path}: its superblock is damaged; restore the file from a copy")
        if head[9:11] != b"\x08\x08" or any(head[_BASE]) or head[_EXTENSION] != _UNDEFINED:
            raise StoreError(
                f"{self.path} cannot be opened as a buffer: its HDF5 superblock has options that no buffer has; "
                "keep it out of the store"
            )
        shown = bytearray(head[:-4])
        shown[_FLAGS] = 0
        shown[_END] = self.size.to_bytes(8, "little")
        self._head = bytes(shown) + checksum(bytes(shown)).to_bytes(4, "little")

    def reaches(self, end: int) -> bool:
        """Say whether the file has so many bytes by now: a live one grows after the look."""
        if end > self.size:
            self.size = max(self.size, os.fstat(self._descriptor).st_size)
        return end <= self.size

    def read_at(self, offset: int, into: memoryview) -> None:
        """Fill a writable buffer with the file's bytes from `offset` on; raises OSError where it ends before."""
        done = 0
        while done < len(into):
            count = self._read_some(offset + done, into[done:])
            if not count:
                raise OSError(f"the file ends at byte {offset + done:,}")
            done += count

    def bytes_at(self, offset: int, size: int) -> bytes:
        """Give up to `size` bytes from `offset` on: fewer where the file ends before."""
        into = bytearray(max(0, min(size, self.size - offset)))
        try:
            self.read_at(offset, memoryview(into))
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read ({error}); restore it from a copy") from None
        return bytes(into)

    def _read_some(self, offset: int, into: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(self._descriptor, [into], offset)
        with self._mutex:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            data = os.read(self._descriptor, len(into))
        into[: len(data)] = data
        return len(data)

    # --- the file object that h5py reads

    def readinto(self, buffer, /) -> int:
        """Fill `buffer` from where the view stands, with the superblock of a file that was closed."""
        into = memoryview(buffer).cast("B")
        self.read_at(self._at, into)
        if self._at < len(self._head):
            own = self._head[self._at : self._at + len(into)]
            into[: len(own)] = own
        self._at += len(into)
        return len(into)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Stand at another byte."""
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence] + offset
        return self._at

    def close(self) -> None:
        """Close the file; harmless when repeated."""
        descriptor, self._descriptor = getattr(self, "_descriptor", -1), -1
        if descriptor >= 0:
            os.close(descriptor)
        super().close()


def _open_regular(path: Path) -> int:
    # not blocking: a pipe in place of a buffer would wait for its other end
    flags = (
        os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
    )
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing: bring it back; its bits cannot be read without it") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{path} cannot be opened as a buffer: {reason}; check the file") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{path} cannot be opened as a buffer: it is no regular file; move it away")
    return descriptor


def checksum(data: bytes) -> int:
    """Compute the checksum of HDF5 metadata: Jenkins's lookup3, `hashlittle` with initial value 0 (2006)."""
    a = b = c = (0xDEADBEEF + len(data)) & _WORD
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    words += [0] * (-len(words) % 3)
    for at in range(0, max(0, len(words) - 3), 3):
        a, b, c = _mix((a + words[at]) & _WORD, (b + words[at + 1]) & _WORD, (c + words[at + 2]) & _WORD)
    if not data:
        return c
    return _final((a + words[-3]) & _WORD, (b + words[-2]) & _WORD, (c + words[-1]) & _WORD)


_WORD = 0xFFFFFFFF


def _turn(x: int, k: int) -> int:
    return (x << k | x >> 32 - k) & _WORD


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for turn in (4, 6, 8, 16, 19, 4):
        a = (a - c & _WORD) ^ _turn(c, turn)
        a, b, c = b, c + b & _WORD, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for turn in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, (c ^ b) - _turn(b, turn) & _WORD, a
    return b

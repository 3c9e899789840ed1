"""Noticing that a file which is being written is no longer the one that its writer made."""

import os
from pathlib import Path

from ._room import END_OF_FILE

# The superblock (version 3) and, right behind it, the beginning of the header of `/`: its end-of-file address and
# its checksum change as the file grows, the rest does not before it is closed.
_HEAD = 64
_CHECKSUM = slice(44, 48)
# What HDF5 made first, which it needs to the end, and the last bits: where a file was cut in the middle of a write and
# grew again, there are zeros.
_MOST = 1 << 14
_PAGE = 1 << 12
_ZEROS = bytes(_PAGE)


class OwnFile:
    """What a writer knows of its file from outside HDF5, which would crash or search for ever in a foreign one.

    `descriptor`: one on the file, which stays the caller's; nobody else may move where it stands.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        begin = self._read(0, _MOST)
        self._made, self._written = _lasting(begin), _written(begin)
        self._last = (0, b"")

    def note(self, offset: int, last: bytes) -> None:
        """Take `last`, at `offset` in the file, for the last bytes that were written for good."""
        self._last = (offset, last)

    def fault(self) -> str:
        """Say what another program did to the file; '' where it did nothing. Between two writes, not within one."""
        mine, begin = os.fstat(self._descriptor), self._read(0, _PAGE * len(self._written))
        try:
            there = os.path.samestat(mine, os.stat(self._path))
        except OSError:
            return "it was deleted or moved away"
        if not there:
            return "another file was put in its place"
        size = int.from_bytes(begin[END_OF_FILE], "little")
        if len(begin) < _PAGE * len(self._written) or mine.st_size < size:
            return "another program has cut it short"
        if _lasting(begin) != self._made:
            return "another program has written into it"
        offset, last = self._last
        if _written(begin) != self._written or self._read(offset, len(last)) != last:
            return "another program has cut it short"
        return ""

    def _read(self, offset: int, size: int) -> bytes:
        os.lseek(self._descriptor, offset, os.SEEK_SET)  # Windows has no pread
        return os.read(self._descriptor, size)


def _lasting(begin: bytes) -> bytes:
    """Give what of the head stays as it is."""
    return (
        begin[: END_OF_FILE.start] + begin[END_OF_FILE.stop : _CHECKSUM.start] + begin[_CHECKSUM.stop : _HEAD]
    )


def _written(begin: bytes) -> list[bool]:
    """Say of each whole page whether there is anything but zeros in it."""
    return [begin[at : at + _PAGE] != _ZEROS for at in range(0, len(begin) - _PAGE + 1, _PAGE)]

"""Noticing that a file which is being written is no longer the one that its writer made."""

import os
from pathlib import Path

# The superblock (version 3) and, right behind it, the beginning of the header of `/`: its end-of-file address and
# its checksum change as the file grows, the rest does not before it is closed.
_HEAD = 64
_END, _CHECKSUM = slice(28, 36), slice(44, 48)


class OwnFile:
    """What a writer knows of its file from outside HDF5, which would crash or search for ever in a foreign one.

    `descriptor`: one on the file, which stays the caller's; nobody else may move where it stands.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._made = _lasting(self._head())

    def fault(self) -> str:
        """Say what another program did to the file; '' where it did nothing. Between two writes, not within one."""
        mine, head = os.fstat(self._descriptor), self._head()
        try:
            there = os.path.samestat(mine, os.stat(self._path))
        except OSError:
            return "it was deleted or moved away"
        if not there:
            return "another file was put in its place"
        if len(head) < _HEAD or mine.st_size < int.from_bytes(head[_END], "little"):
            return "another program has cut it short"
        return "" if _lasting(head) == self._made else "another program has written into it"

    def _head(self) -> bytes:
        os.lseek(self._descriptor, 0, os.SEEK_SET)  # Windows has no pread
        return os.read(self._descriptor, _HEAD)


def _lasting(head: bytes) -> bytes:
    return head[: _END.start] + head[_END.stop : _CHECKSUM.start] + head[_CHECKSUM.stop :]

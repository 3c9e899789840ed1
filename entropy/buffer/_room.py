"""Room on the disk for a buffer, which is there before HDF5 writes: it cannot take back a write that failed."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from .._errors import StoreError

METADATA_ROOM = 1 << 20  # bytes
END_OF_FILE = slice(28, 36)  # its address in a version 3 superblock


def allocate(descriptor: int, path: Path, size: int) -> None:
    """Make the file `size` bytes long, or where that cannot be, see that there is room; raises OSError."""
    there = os.fstat(descriptor).st_size
    if size <= there:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(descriptor, there, size - there)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    if shutil.disk_usage(path.parent).free < METADATA_ROOM + size - there:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def probe_room(path: Path) -> None:
    """Raise StoreError where not even an empty buffer fits; HDF5 would fail in the middle of making one."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            allocate(probe.fileno(), path, METADATA_ROOM)
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {why(error)}; free some space") from None


def end_of_file(path: Path) -> int:
    """Say where HDF5 holds the file to end, by its superblock (version 3, as `create_buffer` makes it)."""
    with open(path, "rb") as file:
        head = file.read(48)
    known = head[:8] == b"\x89HDF\r\n\x1a\n" and head[8] == 3 and head[9] == 8
    return int.from_bytes(head[END_OF_FILE], "little") if known else path.stat().st_size


def why(error: BaseException) -> str:
    """Give what the system said in an error of HDF5 or of Python."""
    text = str(error)
    if "error message = '" in text:
        return text.split("error message = '")[1].split("'")[0]
    return (getattr(error, "strerror", None) or text or type(error).__name__).splitlines()[0]

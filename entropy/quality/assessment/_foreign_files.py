"""Files that are plainly something else than bits, told by how they begin."""

from pathlib import Path

import numpy as np

from entropy._errors import StoreError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_SOUND = "sound, not bits"
_PICTURE = "a picture, not bits"
_COMPRESSED = "a compressed file, not bits: unpack it"
# Of packed bits, one in 2²⁴ files or fewer begins like that.
_MARKS = (
    (b"\x89PNG", _PICTURE),
    (b"\xff\xd8\xff", _PICTURE),
    (b"GIF8", _PICTURE),
    (b"P4\n", _PICTURE),
    (b"P5\n", _PICTURE),
    (b"P6\n", _PICTURE),
    (b"II*\0", _PICTURE),
    (b"MM\0*", _PICTURE),
    (b"PK\x03\x04", "an archive, not bits: unpack it (of an .npz, save the array of bits by numpy.save)"),
    (b"PK\x05\x06", "an archive, not bits, and an empty one"),
    (b"7z\xbc\xaf", "an archive, not bits: unpack it"),
    (b"Rar!", "an archive, not bits: unpack it"),
    (b"\x1f\x8b\x08", _COMPRESSED),
    (b"BZh91AY", _COMPRESSED),
    (b"\xfd7zXZ", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", _COMPRESSED),
    (b"\x04\x22\x4d\x18", _COMPRESSED),
    (b"SQLite format 3", "a ledger, not bits: name the store's folder instead"),
    (b"%PDF", "a document, not bits"),
    (b"MATLAB 5.0 MAT", "a MATLAB file, not bits: write the bits alone, by fwrite(f, bits, 'uint8')"),
    (b"RIFF", _SOUND),
    (b"fLaC", _SOUND),
    (b"OggS", _SOUND),
    (b"PAR1", "a table (Parquet), not bits: write the column of bits alone"),
    (b"ARROW1", "a table (Arrow), not bits: write the column of bits alone"),
    (b"\x7fELF", "a program, not bits"),
)


def refuse_foreign(path: Path, head: np.ndarray) -> None:
    """Raise StoreError, with what to do, for a file whose first bytes `head` (uint8) are another format's."""
    for at in (0, 512, 1024, 2048):  # where HDF5 may begin, behind what other programs put before it
        if head[at : at + len(_HDF5)].tobytes() == _HDF5:
            raise StoreError(
                f"{path} is HDF5: of a buffer of a store name the store's folder instead, of another file save the "
                "array of bits as .npy"
            )
    start = head[:16].tobytes()
    for mark, what in _MARKS:
        if start.startswith(mark):
            raise StoreError(f"{path} is {what}")
    if start[:2] == b"BM" and int.from_bytes(start[2:6], "little") == path.stat().st_size:
        raise StoreError(f"{path} is {_PICTURE}")
    if head[257:262].tobytes() == b"ustar":
        raise StoreError(f"{path} is an archive, not bits: unpack it")
    # A pickle of numpy's or torch's begins with two bytes that packed bits may well begin with.
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and b"numpy" in head[:200].tobytes():
        raise StoreError(f"{path} is a pickle, which memtj does not open: save the array by numpy.save")

"""Files of bits as people have them: read rightly, or refused with what to do, never taken for something else."""

import gzip
import io
import json
import pickle
import wave
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from entropy import StoreError
from entropy.quality.assessment import FileSubject

BITS = np.random.default_rng(1).integers(0, 2, 4_000, dtype=np.uint8)
DIGITS = "".join(map(str, BITS))
LINES = [DIGITS[at : at + 25] for at in range(0, len(DIGITS), 25)]
PACKED = np.packbits(BITS).tobytes()


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


READ = {
    "NIST's samples, with blanks before": "".join(f"    {line}\n" for line in LINES).encode(),
    "blanks between": " ".join(DIGITS).encode(),
    "lines of Windows": "\r\n".join(LINES).encode(),
    "empty lines before": b"\n\n\t" + DIGITS.encode(),
    "one a line": "\n".join(DIGITS).encode(),
    "commas": ",".join(DIGITS).encode(),
    "semicolons and line ends": ";\r\n".join(DIGITS).encode(),
    "a list of Python's": json.dumps(BITS.tolist()).encode(),
    "UTF-8 with its mark": DIGITS.encode("utf-8-sig"),
    "UTF-16": DIGITS.encode("utf-16"),
    "UTF-16, big-endian": b"\xfe\xff" + DIGITS.encode("utf-16-be"),
    "UTF-16 without a mark": "\r\n".join(LINES).encode("utf-16-le"),
    "UTF-16, big-endian without a mark": DIGITS.encode("utf-16-be"),
    "UTF-32": DIGITS.encode("utf-32"),
    "a NUL at its end": DIGITS.encode() + b"\0",
    "Ctrl-Z at its end": DIGITS.encode() + b"\r\n\x1a",
    "bytes": BITS.tobytes(),
    "bytes that end in zeros": np.concatenate([BITS, np.zeros(5000, np.uint8)]).tobytes(),
    "packed": PACKED,
    "packed, like a mark of UTF-16": b"\xff\xfe" + PACKED,
    "packed and biased": np.packbits(np.random.default_rng(2).random(40_000) < 0.02).tobytes(),
    "packed, few": PACKED[:8],
    **{
        f"array of {kind}": saved(BITS.astype(kind))
        for kind in ("u1", "?", "i1", "<i4", ">i4", "<i8", ">u2", "<f4", ">f8", "<f2")
    },
    "array of two dimensions": saved(BITS.reshape(50, 80)),
    "array in Fortran's order": saved(np.asfortranarray(BITS.reshape(50, 80).astype("<i4"))),
}


@pytest.mark.parametrize("name", READ)
def test_read_rightly(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(READ[name])
    subject = FileSubject(tmp_path / "file")
    bits = {
        "bytes that end in zeros": np.concatenate([BITS, np.zeros(5000, np.uint8)]),
        "packed, like a mark of UTF-16": np.unpackbits(np.frombuffer(b"\xff\xfe" + PACKED, np.uint8)),
        "packed and biased": np.unpackbits(np.frombuffer(READ["packed and biased"], np.uint8)),
        "packed, few": BITS[:64],
    }.get(name, BITS)
    form = "packed" if name.startswith("packed") else "npy" if name.startswith("array") else "bytes"
    assert (subject.form, subject.bits) == (form, len(bits))
    np.testing.assert_array_equal(subject.read(0, subject.bits), bits)


def symbols(bits: int) -> np.ndarray:
    return np.random.default_rng(bits).integers(0, 1 << bits, 4_000, dtype=np.uint8)


def picture(kind: str) -> bytes:
    file = io.BytesIO()
    Image.new("L", (40, 40)).save(file, kind)
    return file.getvalue()


def sound() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setparams((1, 2, 8000, 0, "NONE", ""))
        written.writeframes(PACKED)
    return file.getvalue()


def hdf5(before: int = 0) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w", userblock_size=before) as written:
        written["bits"] = BITS
    return file.getvalue()


def archive() -> bytes:
    file = io.BytesIO()
    np.savez(file, bits=BITS, more=BITS)
    return file.getvalue()


READINGS = np.random.default_rng(3).integers(0, 4096, 2_000)

REFUSED = {
    "hexadecimal": (PACKED.hex().encode(), "hexadecimal digits"),
    "hexadecimal, above": (PACKED.hex(" ").upper().encode(), "hexadecimal digits"),
    "decimal": (
        " ".join(map(str, PACKED)).encode(),
        "text, not bits.*write each bit of its numbers as 0 or 1",
    ),
    "digits of pi": (b"3141592653589793" * 40, "text, not bits"),
    "a column's name": (b"bit\n" + "\n".join(DIGITS).encode(), "take names, headers and other columns out"),
    "a name in Latin-1": (("Bit [\xb5s]\n" + DIGITS).encode("latin-1"), "text, not bits"),
    "a name in UTF-8": (("Strom in \xb5A\n" + DIGITS).encode(), "text, not bits"),
    "a name in UTF-16": (("Strom in \xb5A\n" + DIGITS).encode("utf-16"), "text, not bits"),
    "numbers between commas": (",".join(LINES).encode(), "numbers of several digits"),
    "a table": (b"0.5,0\n0.7,1\n" * 90, "text, not bits"),
    "minus one": (b"1 -1 -1 1\n" * 90, "text, not bits: beside 0 and 1 it has '-'"),
    "a letter late in the file": (b"01" * (1 << 20) + b"x01", "beside 0 and 1 it has 'x'"),
    "blanks alone": (b" \n" * 50, "no 0 and no 1"),
    "symbols of 4 bits": (
        symbols(4).tobytes(),
        "no byte .* is above 15, so it looks like one symbol of 4 bits",
    ),
    **{f"symbols of {n} bits": (symbols(n).tobytes(), f"one symbol of {n} bits") for n in (2, 3, 5, 6, 7)},
    "readings of 12 bits": (READINGS.astype("<u2").tobytes(), "no number of 16 bits .* is above 4,095"),
    "readings of 12 bits, big-endian": (
        READINGS.astype(">u2").tobytes(),
        "no number of 16 bits .* is above 4,095",
    ),
    "readings in 32 bits": (READINGS.astype("<u4").tobytes(), "above|symbol"),
    "int32": (BITS.astype("<i4").tobytes(), "numbers of 4 bytes each"),
    "int32, big-endian": (BITS.astype(">i4").tobytes(), "numbers of 4 bytes each"),
    "int16": (BITS.astype("<i2").tobytes(), "numbers of 2 bytes each"),
    "int64": (BITS.astype("<i8").tobytes(), "numbers of 8 bytes each"),
    "float32": (BITS.astype("<f4").tobytes(), "symbol"),
    "0 and 255": ((BITS * 255).tobytes(), "no bytes but 0 and 255"),
    "array of packed bytes": (saved(np.packbits(BITS)), r"other values than 0 and 1.*tofile"),
    "array of -1 and 1": (saved(2 * BITS.astype(np.int8) - 1), "other values than 0 and 1, such as -1"),
    "array of probabilities": (saved(BITS * 0.5), r"other values than 0 and 1, such as 0\.5"),
    "array of NaN": (saved(np.full(9, np.nan)), "other values than 0 and 1, such as nan"),
    "array of complex numbers": (saved(BITS.astype(complex)), "is complex128 of shape"),
    "array of text": (saved(np.array(["0", "1"])), "no array of bits"),
    "array of objects": (saved(np.array([1, "x"], object)), "cannot be read as bits"),
    "array of nothing": (saved(BITS[:0]), r"of shape \(0,\)"),
    "npz": (archive(), r"save the array of bits by numpy\.save"),
    "gzip": (gzip.compress(DIGITS.encode()), "unpack it"),
    "xz": (b"\xfd7zXZ\0" + PACKED, "unpack it"),
    "bzip2": (b"BZh91AY&SY" + PACKED, "unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd" + PACKED, "unpack it"),
    "tar": (bytes(257) + b"ustar" + PACKED, "unpack it"),
    "pickle": (pickle.dumps(BITS), "a pickle"),
    "HDF5": (hdf5(), r"HDF5.*save the array of bits as \.npy"),
    "HDF5 of MATLAB": (hdf5(512), "HDF5"),
    "MATLAB": (b"MATLAB 5.0 MAT-file" + PACKED, "fwrite"),
    "sound": (sound(), "sound, not bits"),
    **{kind: (picture(kind), "a picture") for kind in ("PNG", "JPEG", "BMP", "TIFF", "GIF", "PPM")},
    "nothing": (b"", "is empty"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    content, said = REFUSED[name]
    (tmp_path / "a file").write_bytes(content)
    with pytest.raises(StoreError, match=said) as refused:
        FileSubject(tmp_path / "a file")
    assert str(refused.value).count(f"{tmp_path / 'a file'}") == 1


@pytest.mark.parametrize(
    "name", ["symbols of 4 bits", "0 and 255", "int32", "hexadecimal", "gzip", "float32"]
)
def test_who_says_packed_has_it_packed(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(REFUSED[name][0])
    assert FileSubject(tmp_path / "file", "packed").bits == 8 * len(REFUSED[name][0])


def test_forms_that_are_said_and_are_not(tmp_path: Path) -> None:
    (tmp_path / "int32").write_bytes(BITS.astype("<i4").tobytes())
    assert FileSubject(tmp_path / "int32", "bytes").bits == 4 * len(BITS)
    (tmp_path / "text").write_text("    01\n10")
    np.testing.assert_array_equal(FileSubject(tmp_path / "text", "bytes").read(0, 4), [0, 1, 1, 0])
    for name, form in (("text", "npy"), ("npz", "npy"), ("packed", "npy"), ("packed", "bytes")):
        (tmp_path / "npz").write_bytes(archive())
        (tmp_path / "packed").write_bytes(PACKED)
        with pytest.raises(StoreError, match=name):
            FileSubject(tmp_path / name, form)
    with pytest.raises(StoreError, match="no plain file"):
        FileSubject(tmp_path)
    with pytest.raises(StoreError, match="No such file"):
        FileSubject(tmp_path / "nowhere")

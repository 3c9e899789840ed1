"""Files of bits as people have them: packed, a byte a bit, text of 0 and 1, arrays; all else is refused."""

from pathlib import Path

import numpy as np

from entropy._errors import StoreError

from ._foreign_files import refuse_foreign

FORMS = ("packed", "bytes", "npy")
_LOOK = 1 << 20  # bytes that decide what a file is
_SURE = 1e-9  # the chance that packed bits look like something else, below which they are taken for that
_READABLE = 0.9  # share of characters that makes a text, with a few of an unknown coding among them
_FEW = 32  # bytes, of which all must be characters

# Of characters: what they are to a text of bits.
_OTHER, _DIGIT, _BLANK, _SEPARATOR = range(4)
_KINDS = np.full(256, _OTHER, np.uint8)
_KINDS[list(b"01")] = _DIGIT
_KINDS[list(b" \t\n\v\f\r")] = _BLANK
_KINDS[list(b",;[]()")] = _SEPARATOR
_CHARACTERS = np.zeros(256, bool)
_CHARACTERS[32:127] = _CHARACTERS[list(b"\t\n\v\f\r")] = True

# What marks a text's coding at its beginning, and the coding's numbers; without a mark they are tried in turn.
_CODINGS = (
    (b"\xef\xbb\xbf", "u1"),
    (b"\xff\xfe\0\0", "<u4"),
    (b"\0\0\xfe\xff", ">u4"),
    (b"\xff\xfe", "<u2"),
    (b"\xfe\xff", ">u2"),
    (b"", "u1"),
    (b"", "<u2"),
    (b"", ">u2"),
)


def load_bits(path: Path, form: str | None = None) -> tuple[str, np.ndarray]:
    """Give the form of a file of bits, and its bits: packed bytes as they are, or one 0 or 1 each; uint8.

    `form` None: it is looked at. Raises StoreError where the file is missing, empty, or holds something else; also
    where packed bits would not look as it does, unless `form` says that they are.
    """
    raw = _mapped(path)
    head = raw[:_LOOK]
    if form is None:
        refuse_foreign(path, head)
    if form == "npy" or (form is None and head[:6].tobytes() == b"\x93NUMPY"):
        return "npy", _of_array(path)
    if form == "packed":
        return form, raw
    text = _text(raw)
    if text is not None:
        return "bytes", _of_text(path, text)
    if form == "bytes" or head.max() <= 1:
        if form is None:
            _refuse_wide_bits(path, head)
        return "bytes", _zeros_and_ones(path, raw, "is it packed? then say --as packed")
    _refuse_symbols(path, head)
    return "packed", raw


def _mapped(path: Path) -> np.ndarray:
    try:
        if path.exists() and not path.is_file():
            raise StoreError(f"{path} is no plain file: write its bits into one first")
        if path.stat().st_size:
            return np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise StoreError(f"{path} cannot be read ({reason}): name a store or a file of bits") from None
    raise StoreError(f"{path} is empty: there are no bits to assess")


# --- text


def _text(raw: np.ndarray) -> np.ndarray | None:
    """Give a text's characters as numbers; None where the file is none."""
    start = raw[:4].tobytes()
    for mark, kind in _CODINGS:
        if start.startswith(mark):
            size = np.dtype(kind).itemsize
            units = raw[len(mark) :]
            units = units[: len(units) // size * size].view(kind)
            if _readable(units[:_LOOK]):
                return units
    return None


def _readable(units: np.ndarray) -> bool:
    units = units[: _end(units)]
    share = np.mean(_CHARACTERS[np.minimum(units, 255)]) if len(units) else 0
    return bool(share == 1 if len(units) < _FEW else share >= _READABLE)


def _end(units: np.ndarray) -> int:
    """Say where a text ends: some programs put a NUL or Ctrl-Z behind it."""
    kept = np.flatnonzero((units != 0) & (units != 0x1A))
    return int(kept[-1]) + 1 if len(kept) else 0


def _of_text(path: Path, text: np.ndarray) -> np.ndarray:
    text = text[: _end(text)]
    codes = np.minimum(text, 255).astype(np.uint8)
    kinds = _KINDS[codes]
    if (kinds == _OTHER).any():
        raise StoreError(_no_bits(path, text[kinds == _OTHER]))
    digits = kinds == _DIGIT
    if (kinds == _SEPARATOR).any() and (digits[1:] & digits[:-1]).any():
        raise StoreError(
            f"{path} is text, not bits: between its separators stand numbers of several digits; if each digit is a "
            "bit, take the separators out"
        )
    if not digits.any():
        raise StoreError(f"{path} is text, not bits: it holds no 0 and no 1")
    return codes[digits] - np.uint8(ord("0"))


def _no_bits(path: Path, wrong: np.ndarray) -> str:
    """Say what a text with other characters than 0 and 1 may be, and what to do with it."""
    found = {chr(code) for code in np.unique(wrong[:_LOOK]).tolist()}
    named = ", ".join(repr(one) for one in sorted(found)[:3])
    if found <= set("23456789"):
        what = "write each bit of its numbers as 0 or 1, or as packed bytes"
    elif found <= set("23456789abcdefABCDEFx"):
        what = "are they hexadecimal digits? 'xxd -r -p FILE NEW' makes packed bits of them"
    else:
        what = "take names, headers and other columns out, so that the bits alone are left"
    return f"{path} is text, not bits: beside 0 and 1 it has {named}; {what}"


# --- numbers


def _zeros_and_ones(path: Path, values: np.ndarray, otherwise: str) -> np.ndarray:
    """Give numbers that are all 0 or 1, of whatever type, as uint8; without a copy where they are bytes."""
    values = values.ravel()
    if values.dtype.itemsize == 1 and values.dtype.kind in "ub":
        found = values.view(np.uint8)
        wrong = found > 1
    else:
        found, wrong = (values == 1).astype(np.uint8), (values != 0) & (values != 1)
    if wrong.any():
        first = values[int(np.argmax(wrong))]
        raise StoreError(f"{path} holds other values than 0 and 1, such as {first}: {otherwise}")
    return found


def _of_array(path: Path) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise StoreError(f"{path} cannot be read as bits ({error}): check the file") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise StoreError(f"{path} holds several arrays: save the one of bits alone, by numpy.save")
    if found.dtype.kind not in "uibf" or not found.size:
        raise StoreError(
            f"{path} is {found.dtype} of shape {found.shape}, no array of bits: it must be numbers, 0 or 1 each"
        )
    hint = "write each bit as 0 or 1; packed bytes as a plain file, by array.astype('uint8').tofile(FILE)"
    return _zeros_and_ones(path, found, hint)


# --- what packed bits, or a byte a bit, do not look like


def _refuse_wide_bits(path: Path, head: np.ndarray) -> None:
    """Raise StoreError for 0 and 1 as numbers of several bytes, whose other bytes are all 0."""
    for size in (8, 4, 2):
        words = head[: len(head) // size * size].reshape(-1, size)
        used = np.asarray(words.any(axis=0))
        if len(words) >= _FEW and used.sum() == 1 and (used[0] or used[-1]):
            raise StoreError(
                f"{path} looks like bits as numbers of {size} bytes each: save them as bytes (numpy: "
                f"array.astype('uint8').tofile(FILE)) or as .npy, or say --as bytes if each byte is a bit"
            )


def _refuse_symbols(path: Path, head: np.ndarray) -> None:
    """Raise StoreError for numbers of fewer bits than they have room for: symbols, or an ADC's readings."""
    if len(head) >= _FEW and set(np.unique(head).tolist()) == {0, 255}:
        raise StoreError(
            f"{path} holds no bytes but 0 and 255, so it looks like one bit a byte: write 1 for 255, or say --as packed"
        )
    for kind in ("u1", "<u2", ">u2", "<u4", ">u4", "<u8", ">u8"):
        size = np.dtype(kind).itemsize
        words = head[: len(head) // size * size].view(kind)
        if not len(words):
            continue
        used = int(np.bitwise_or.reduce(words)).bit_length()
        unused = 8 * size - used
        ones = float(np.bitwise_count(words).sum()) / (len(words) * max(used, 1))
        if unused > (size > 1) and (1 - ones) ** (len(words) * unused) < _SURE:
            each = "byte" if size == 1 else f"number of {8 * size} bits"
            raise StoreError(
                f"no {each} in {path} is above {2**used - 1:,}, so it looks like one symbol of {used} bits each and "
                "not like packed bits: pack the bits without gaps first, or say --as packed"
            )

"""Numbers and words that a caller gives: taken where they are what they should be, refused before anything changes.

Integers of numpy would go into SQLite as blobs, NaN as NULL, and a float that is a whole number passes every
comparison: so each public argument is turned into Python's own `int`, `float` or `str` at the door.
"""

import math
import operator
import reprlib
from decimal import Decimal
from numbers import Real
from typing import SupportsIndex

MOST = 1 << 60  # bits, blocks, bytes: sums of several such still fit in a column of SQLite


def count(value: SupportsIndex, name: str, *, least: int = 0, most: int = MOST) -> int:
    """Give a whole number from `least` to `most` as an int: whatever `operator.index` takes, but no bool.

    Raises TypeError for all else, ValueError where it is out of range; `name` is what the caller calls it.
    """
    number = value if type(value) is int else _index(value, name)
    if not least <= number <= most:
        upper = f" to {most:,}" if most != MOST or number > most else " up"
        raise ValueError(f"{name} is a whole number from {least:,}{upper}, not {_shown(value)}")
    return number


def _index(value: SupportsIndex, name: str) -> int:
    import numpy as np  # where a number is not Python's own: a store of them opens without it

    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} is a whole number (int, or an integer of numpy), not {_shown(value)}"
        ) from None


def real(
    value: object, name: str, *, least: float = -math.inf, most: float = math.inf, above: float | None = None
) -> float:
    """Give a finite number from `least` to `most`, and larger than `above`, as a float; no bool, no text.

    Takes Python's real numbers, Decimal, and numpy's numbers and arrays of no dimension. Raises TypeError for all
    else, ValueError where it is not finite or out of range; `name` is what the caller calls it.
    """
    number = value if type(value) is float else _float(value, name)
    if not (math.isfinite(number) and least <= number <= most and (above is None or number > above)):
        low = f"above {above:g}" if above is not None else f"from {least:g}" if least > -math.inf else ""
        high = f"to {most:g}" if most < math.inf else ""
        span = " ".join(part for part in ("a finite number", low, high) if part)
        raise ValueError(f"{name} is {span}, not {_shown(value)}")
    return number


def _float(value: object, name: str) -> float:
    import numpy as np

    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real | Decimal):
        raise TypeError(f"{name} is a number, not {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:  # a signalling NaN of Decimal
        return math.nan


def text(value: str, name: str) -> str:
    """Give a text that can be written as UTF-8 and has no NUL; raises TypeError or ValueError for all else."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is a text, not {_shown(value)}")
    if "\0" in value or (not value.isascii() and _is_broken(value)):
        raise ValueError(f"{name} is a text without NUL that can be written as UTF-8, not {_shown(value)}")
    return str(value)


def _is_broken(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _shown(value: object) -> str:
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"

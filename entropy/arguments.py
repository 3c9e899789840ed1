"""Numbers and words that a caller gives: taken where they are what they should be, refused before anything changes.

Integers of numpy would go into SQLite as blobs, NaN as NULL, and a float that is a whole number passes every
comparison: so each public argument is turned into Python's own `int`, `float` or `str` at the door, by `takes`.
"""

import functools
import inspect
import math
import numbers
import operator
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ParamSpec, SupportsIndex, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")
Check = Callable[[Any, str], Any]  # (value, name): the value as it is to be used, or RefusedArgument

MOST = 1 << 60  # bits, blocks, bytes: sums of several such still fit in a column of SQLite


class RefusedArgument(Exception):
    """An argument is not what it should be; the message names it, and nothing was changed."""


class WrongKind(RefusedArgument, TypeError):
    """An argument is no number, or no text, where it should be one."""


class OutOfRange(RefusedArgument, ValueError):
    """A number is not finite, or lies out of its range."""


def count(value: SupportsIndex, name: str, *, least: int = 0, most: int = MOST) -> int:
    """Give a whole number from `least` to `most` as an int: whatever `operator.index` takes, but no bool.

    Raises WrongKind for all else, OutOfRange where it is out of range; `name` is what the caller calls it.
    """
    number = value if type(value) is int else _index(value, name)
    if not least <= number <= most:
        upper = f" to {most:,}" if most != MOST or number > most else " up"
        raise OutOfRange(f"{name} is a whole number from {least:,}{upper}, not {_shown(value)}")
    return number


def _index(value: SupportsIndex, name: str) -> int:
    import numpy as np  # where a number is not Python's own: a store of them opens without it

    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise WrongKind(
            f"{name} is a whole number (int, or an integer of numpy), not {_shown(value)}"
        ) from None


def real(
    value: object, name: str, *, least: float = -math.inf, most: float = math.inf, above: float | None = None
) -> float:
    """Give a finite number from `least` to `most`, and larger than `above`, as a float; no bool, no text.

    Takes Python's real numbers, Decimal, and numpy's numbers and arrays of no dimension. Raises WrongKind for all
    else, OutOfRange where it is not finite or out of range; `name` is what the caller calls it.
    """
    number = value if type(value) is float else _float(value, name)
    if not (math.isfinite(number) and least <= number <= most and (above is None or number > above)):
        low = f"above {above:g}" if above is not None else f"from {least:g}" if least > -math.inf else ""
        high = f"to {most:g}" if most < math.inf else ""
        span = " ".join(part for part in ("a finite number", low, high) if part)
        raise OutOfRange(f"{name} is {span}, not {_shown(value)}")
    return number


def _float(value: object, name: str) -> float:
    import numpy as np

    if isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf":
        value = value[()]
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real | Decimal):
        raise WrongKind(f"{name} is a number, not {_shown(value)}")
    try:
        return float(value)
    except OverflowError:
        return math.inf
    except ValueError:  # a signalling NaN of Decimal
        return math.nan


def text(value: str, name: str) -> str:
    """Give a text that can be written as UTF-8 and has no NUL; raises WrongKind or OutOfRange for all else."""
    if not isinstance(value, str):
        raise WrongKind(f"{name} is a text, not {_shown(value)}")
    if "\0" in value or (not value.isascii() and _is_broken(value)):
        raise OutOfRange(f"{name} is a text without NUL that can be written as UTF-8, not {_shown(value)}")
    return str(value)


def _is_broken(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


@dataclass(frozen=True)
class Count:
    """That an argument is a whole number from `least` to `most`; see `count`."""

    least: int = 0
    most: int = MOST

    def __call__(self, value: Any, name: str) -> int:
        """Give it as an int."""
        return count(value, name, least=self.least, most=self.most)


ANY = Count(-(1 << 256), 1 << 256)  # where who takes it says more about its range


@dataclass(frozen=True)
class Real:
    """That an argument is a finite number from `least` to `most`, and larger than `above`; see `real`."""

    least: float = -math.inf
    most: float = math.inf
    above: float | None = None

    def __call__(self, value: Any, name: str) -> float:
        """Give it as a float."""
        return real(value, name, least=self.least, most=self.most, above=self.above)


@dataclass(frozen=True)
class Each:
    """That each element of a sequence is what `check` takes, or None where `optional`."""

    check: Check
    optional: bool = False

    def __call__(self, value: Any, name: str) -> tuple[Any, ...]:
        """Give the elements as a tuple; raises WrongKind for what is no sequence."""
        array = getattr(value, "ndim", 0) == 1  # of numpy, which is not imported for this
        if isinstance(value, str | bytes) or not (array or isinstance(value, Sequence)):
            raise WrongKind(f"{name} is a sequence of numbers, not {_shown(value)}")
        return tuple(
            item if item is None and self.optional else self.check(item, f"{name}[{index}]")
            for index, item in enumerate(value)
        )


def takes(**checks: Check) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function so that each argument named is checked first; None passes where its annotation allows it."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        parameters = inspect.signature(function).parameters
        order = list(parameters)
        known = [
            (name, order.index(name), check, "None" in str(parameters[name].annotation))
            for name, check in checks.items()
        ]

        @functools.wraps(function)
        def checked(*arguments: _P.args, **named: _P.kwargs) -> _R:
            given: Any = list(arguments)
            for name, place, check, optional in known:
                if name in named:
                    if not (optional and named[name] is None):
                        named[name] = check(named[name], name)
                elif place < len(given) and not (optional and given[place] is None):
                    given[place] = check(given[place], name)
            return function(*given, **named)

        return checked

    return decorate


def take_fields(values: Any, **checks: Check) -> None:
    """Check fields of a dataclass in its `__post_init__`, frozen or not; None passes where it is the default."""
    for name, check in checks.items():
        value = getattr(values, name)
        if not (value is None and "None" in str(type(values).__dataclass_fields__[name].type)):
            object.__setattr__(values, name, check(value, name))


def _shown(value: object) -> str:
    try:
        return " ".join(reprlib.repr(value).split())
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"

"""Numbers that a caller gives: taken where they are what they should be, refused before anything changes.

The simulated laboratory stands alone, so it has its own: what a wire brings is checked by the boxes.
"""

import functools
import inspect
import math
import operator
import reprlib
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real as RealNumber
from typing import Any, ParamSpec, TypeVar

import numpy as np

from mock_hw._errors import LabError

_P = ParamSpec("_P")
_R = TypeVar("_R")
Check = Callable[[Any, str], Any]  # (value, name): the value as it is to be used

_MOST = 1 << 128  # of a seed


class WrongKind(LabError, TypeError):
    """An argument is no number where it should be one; the message names it."""


class OutOfRange(LabError, ValueError):
    """A number is not finite, or lies out of its range; the message names it."""


@dataclass(frozen=True)
class Count:
    """That an argument is a whole number from `least` to `most`: whatever `operator.index` takes, but no bool."""

    least: int = 0
    most: int = _MOST

    def __call__(self, value: Any, name: str) -> int:
        """Give it as an int."""
        try:
            number = operator.index(value)
            if isinstance(value, bool | np.bool_):
                raise TypeError
        except TypeError:
            raise WrongKind(f"{name} is a whole number, not {reprlib.repr(value)}") from None
        if not self.least <= number <= self.most:
            upper = "up" if self.most == _MOST else f"to {self.most:,}"
            raise OutOfRange(
                f"{name} is a whole number from {self.least:,} {upper}, not {reprlib.repr(value)}"
            )
        return number


@dataclass(frozen=True)
class Real:
    """That an argument is a finite number from `least` to `most`, above `above`; infinity where `infinite`."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    infinite: bool = False

    def __call__(self, value: Any, name: str) -> float:
        """Give it as a float: of Python's real numbers, Decimal, numpy's numbers and arrays of no dimension."""
        if isinstance(value, np.ndarray) and value.ndim == 0:
            value = value[()]
        if isinstance(value, bool | np.bool_) or not isinstance(value, RealNumber | Decimal):
            raise WrongKind(f"{name} is a number, not {reprlib.repr(value)}")
        try:
            number = float(value)
        except (OverflowError, ValueError):
            number = math.nan
        finite = math.isfinite(number) or (self.infinite and number == math.inf)
        if not (finite and self.least <= number <= self.most and number > self.above):
            low, high = max(self.least, self.above), self.most
            span = (
                f"{f' from {low:g}' if low > -math.inf else ''}{f' to {high:g}' if high < math.inf else ''}"
            )
            raise OutOfRange(f"{name} is a finite number{span}, not {number}")
        return number


@dataclass(frozen=True)
class Reals:
    """That an argument is a number, or an array of numbers, each of which `Real` would take."""

    least: float = -math.inf
    above: float = -math.inf

    def __call__(self, value: Any, name: str) -> Any:
        """Give an array as it is, a number as a float."""
        if not isinstance(value, np.ndarray | list | tuple) or np.ndim(value) == 0:
            return Real(self.least, above=self.above)(value, name)
        numbers = np.asarray(value)
        if numbers.dtype.kind not in "iuf":
            raise WrongKind(f"{name} are numbers, not {reprlib.repr(value)}")
        if not (np.isfinite(numbers) & (numbers >= self.least) & (numbers > self.above)).all():
            raise OutOfRange(f"{name} are finite numbers from {max(self.least, self.above):g} up")
        return value


def takes(**checks: Check) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Decorate a function so that each argument named is checked first; None passes where its annotation allows it."""

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)
        optional = {name for name in checks if "None" in str(signature.parameters[name].annotation)}

        @functools.wraps(function)
        def checked(*arguments: _P.args, **named: _P.kwargs) -> _R:
            call = signature.bind(*arguments, **named)
            for name, check in checks.items():
                value = call.arguments.get(name)
                if name in call.arguments and not (value is None and name in optional):
                    call.arguments[name] = check(value, name)
            return function(*call.args, **call.kwargs)

        return checked

    return decorate


def take_fields(values: Any, **checks: Check) -> None:
    """Check fields of a frozen dataclass in its `__post_init__`."""
    for name, check in checks.items():
        object.__setattr__(values, name, check(getattr(values, name), name))

"""What a host may set: validators of pymeasure properties that let nothing pass but a value of the right kind.

pymeasure's own let NaN, text and fractions through. All of them raise ValueError, before anything is sent.
"""

import math
import numbers
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def within(quantity: str, unit: str) -> Callable[[Any, Sequence[float]], float]:
    """Make a validator for a finite number; it names the quantity in what it raises."""

    def validate(value: Any, values: Sequence[float]) -> float:
        number = _real(value, quantity)
        low, high = min(values), max(values)
        if not low <= number <= high:
            raise ValueError(f"a {quantity} of {number:g} {unit} is not within {low:g} to {high:g} {unit}")
        return number

    return validate


def watchdog(value: Any, values: Sequence[float]) -> float:
    """Take 0, or a time-out within `values`."""
    quantity = "watchdog time-out"
    return 0.0 if _real(value, quantity) == 0 else within(quantity, "s")(value, values)


def count(quantity: str) -> Callable[[Any, Sequence[int]], int]:
    """Make a validator for an integer."""

    def validate(value: Any, values: Sequence[int]) -> int:
        number, low, high = _integer(value, quantity), min(values), max(values)
        if not low <= number <= high:
            raise ValueError(f"{number} {quantity} are not within {low} to {high}")
        return number

    return validate


def switch(value: Any, values: object) -> bool:
    """Take a bool, 0 or 1."""
    if isinstance(value, np.bool_ | bool):
        return bool(value)
    try:
        return {0: False, 1: True}[operator.index(value)]
    except (TypeError, KeyError):
        raise ValueError(f"{value!r} is neither True nor False") from None


def one_of(quantity: str) -> Callable[[Any, dict[str, str]], str]:
    """Make a validator for one of the words of a property."""

    def validate(value: Any, values: dict[str, str]) -> str:
        if not isinstance(value, str) or value not in values:
            raise ValueError(f"a {quantity} of {value!r} is not one of {', '.join(values)}")
        return value

    return validate


def rectangle(value: Sequence[Any], values: object) -> tuple[int, ...]:
    """Take first row, last row, first column and last column."""
    wanted = "first row, last row, first column, last column"
    try:
        top, bottom, left, right = (_integer(each, "cells") for each in value)
    except (TypeError, ValueError):
        raise ValueError(f"{value!r} is not {wanted}") from None
    if not (0 <= top <= bottom and 0 <= left <= right):
        raise ValueError(f"{value!r} is not {wanted}")
    return top, bottom, left, right


def voltage_range(value: Sequence[Any], values: Sequence[float]) -> tuple[float, float]:
    """Take two different volts within `values`, of the lowest code and of the highest."""
    low, high = (within("voltage of a code", "V")(each, values) for each in value)
    if low == high:
        raise ValueError(f"codes from {low:g} V to the same have no scale")
    return low, high


def pulse_codes(value: Any, shape: tuple[int, int], bits: int) -> np.ndarray:
    """Take codes of `bits` bits of `shape`, or one for all; returns uint8 or, above 8 bits, uint16 of that shape."""
    codes = np.asarray(value)
    if codes.dtype.kind not in "iu" or not (codes.size and codes.min() >= 0 and codes.max() < 1 << bits):
        raise ValueError(f"a code is a whole number from 0, which is no pulse, to {(1 << bits) - 1}")
    return np.broadcast_to(codes.astype("u1" if bits <= 8 else "<u2"), shape)


def used_cells(value: Any, shape: tuple[int, int]) -> np.ndarray:
    """Take a mask: booleans, or integers that are 0 or 1, of `shape` or one for all; returns bool, `shape`."""
    mask = np.asarray(value)
    if mask.dtype.kind not in "biu" or not np.isin(mask, (0, 1)).all():
        raise ValueError("a mask is True or False for each cell, or one for all")
    return np.broadcast_to(mask.astype(bool), shape)


def cell_values(quantity: str, value: Any, shape: tuple[int, int]) -> np.ndarray:
    """Take finite numbers of `shape`, or one for all; returns float32, `shape`."""
    numbers = np.asarray(value)
    if numbers.dtype.kind in "iuf":
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
            numbers = numbers.astype("<f4")
        if np.isfinite(numbers).all():
            return np.broadcast_to(numbers, shape)
    raise ValueError(f"{quantity}: every cell needs a finite number")


def _real(value: Any, quantity: str) -> float:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError(f"a {quantity} of {value!r} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"a {quantity} of {number:g} is not a finite number")
    return number


def _integer(value: Any, quantity: str) -> int:
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"{value!r} {quantity} are not an integer")
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{value!r} {quantity} are not an integer") from None

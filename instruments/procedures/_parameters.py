"""Parameters of procedures that let no NaN, no infinity and no half a pulse through, as pymeasure's own do."""

import math
import operator
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
from pymeasure.experiment import FloatParameter, IntegerParameter


class RealParameter(FloatParameter):
    """A FloatParameter that is a finite number; text is read as pymeasure's results files and windows write it."""

    def convert(self, value: Any) -> float:
        """Give `value` as a float; raises ValueError where it is none, not finite, or out of range."""
        if not isinstance(value, str):
            if isinstance(value, np.ndarray) and value.ndim == 0:
                value = value[()]
            if isinstance(value, bool | np.bool_) or not isinstance(value, Real | Decimal):
                raise ValueError(f"it is a number, not {value!r}")
        try:
            number = super().convert(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise ValueError(f"it is a finite number, not {value}")
        return number


class CountParameter(IntegerParameter):
    """An IntegerParameter that takes whole numbers only: pymeasure's cuts 1.5 down to 1."""

    def convert(self, value: Any) -> int:
        """Give `value` as an int; raises ValueError where it is none, or out of range."""
        if not isinstance(value, str):
            try:
                if isinstance(value, bool | np.bool_):
                    raise TypeError
                value = operator.index(value)
            except TypeError:
                raise ValueError(f"it is a whole number, not {value!r}") from None
        return super().convert(value)

"""pymeasure's parameters, typed: on a class they are what pymeasure wants, on an instance the values that they hold."""

from typing import TYPE_CHECKING, Generic, TypeVar

from pymeasure.experiment import (
    BooleanParameter,
    FloatParameter,
    IntegerParameter,
    ListParameter,
    Parameter,
)

T = TypeVar("T")


class _Holding(Generic[T]):
    """Says of what type the value is that pymeasure puts in place of a parameter when a procedure is made."""

    if TYPE_CHECKING:

        def __get__(self, procedure: object, kind: type | None = None) -> T: ...

        def __set__(self, procedure: object, value: T) -> None: ...


class Real(_Holding[float], FloatParameter):
    """A parameter that is a float."""


class Whole(_Holding[int], IntegerParameter):
    """A parameter that is an int."""


class Switch(_Holding[bool], BooleanParameter):
    """A parameter that is a bool."""


class Choice(_Holding[T], ListParameter):
    """A parameter that is one of some words."""


class Text(_Holding[str], Parameter):
    """A parameter that is text."""

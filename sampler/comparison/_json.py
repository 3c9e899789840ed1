"""Results that are kept as JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter, ValidationError

from sampler._errors import SamplerError

# A number that may be infinite, which JSON has not: null there.
Unbounded = Annotated[
    float,
    BeforeValidator(lambda value: math.inf if value is None else value),
    PlainSerializer(lambda value: value if math.isfinite(value) else None),
]


class JsonRecord:
    """A frozen dataclass of plain values and of its like: its fields are kept, and what it computes from them."""

    def to_json(self) -> dict[str, Any]:
        """As plain numbers, texts, lists and dicts."""
        return _adapter(type(self)).dump_python(self, mode="json")

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        """Read what to_json wrote. Raises SamplerError for something else."""
        try:
            return _adapter(cls).validate_python(given)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise SamplerError(
                f"this is no {cls.__name__.lower()} of pictures ({where}: {first['msg']}): make it again"
            ) from None


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)

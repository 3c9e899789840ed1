"""Recorded bits on their way through a conditioning, and the store's errors on theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sampler._errors import SamplerError

if TYPE_CHECKING:
    from entropy import Conditioning


@contextlib.contextmanager
def entropy_errors() -> Iterator[None]:
    """Turn the store's errors into SamplerErrors with the same sentence."""
    from entropy import StoreError

    try:
        yield
    except StoreError as error:
        raise SamplerError(str(error)) from error


def whole(bits: int, conditioning: Conditioning) -> int:
    """Round bits up to what a conditioning makes without waste."""
    return -(-bits // conditioning.unit) * conditioning.unit


def check_works_on(conditioning: Conditioning, bits: str) -> None:
    """Raise SamplerError for a conditioning whose rate varies: `bits`, as a sentence calls them, are of no cells."""
    if not conditioning.fixed_rate:
        raise SamplerError(
            f"{conditioning.name} pairs the outcomes of each cell of a recording: it works on a store's bits, not on "
            f"{bits}; use another conditioning"
        )

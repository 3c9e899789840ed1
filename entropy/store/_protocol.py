"""What a program that uses bits up asks of a store."""

from collections.abc import Iterable
from typing import Protocol

from ..ledger import Accounts, Range
from ._lease import Lease, Portion


class BitStore(Protocol):
    """Hands each bit out once, and reads it again for replay: a `Store`, or what stands for one on another computer.

    Its methods are those of `Store`; `tests/entropy/test_entropy_contract.py` holds an implementation to them.
    """

    def lease(self, bits: int, *, purpose: str, wait: float | None = None) -> Lease: ...
    def burned(self, purpose: str) -> list[Range]: ...
    def recorded(self, ranges: Iterable[tuple[str, int, int]]) -> Portion: ...
    def accounts(self) -> Accounts: ...

"""What can go wrong with a store; every message says what to do about it."""


class StoreError(Exception):
    """A store, a buffer or a lease cannot do what was asked; the message names the file and the remedy."""


class DamagedLedger(StoreError):
    """A ledger contradicts itself or is no ledger, so nothing may be handed out by it."""


class NotEnoughBits(StoreError):
    """Fewer bits are there than were asked for.

    `wanted` and `available` are numbers of bits.
    """

    def __init__(self, wanted: int, available: int, what: str = "free in the store") -> None:
        super().__init__(
            f"{wanted:,} bits were wanted and {available:,} are {what}; record more, or ask for fewer"
        )
        self.wanted = wanted
        self.available = available
        self.what = what

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.wanted, self.available, self.what)


class NotAssessed(NotEnoughBits):
    """Too few bits are in buffers whose assessment supports the min-entropy that was claimed.

    `min_entropy`: the claim, bits a raw bit.
    """

    def __init__(self, wanted: int, available: int, min_entropy: float, assessed: str) -> None:
        super().__init__(wanted, available, assessed)
        self.args = (
            f"{wanted:,} bits of min-entropy {min_entropy:g} were wanted and {available:,} are free in buffers that "
            f"were assessed so high ({assessed}); run 'memtj assess', record more, or claim less",
        )
        self.min_entropy = min_entropy

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.wanted, self.available, self.min_entropy, self.what)


class SharedCells(StoreError):
    """Two of the words that a conditioner combines hold bits of the same cell, so they depend on it both."""

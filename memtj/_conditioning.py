"""Which conditioning a command uses: the one that was named, or the store's, or the XOR of two."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from entropy import Conditioning, Store

CONDITIONING_HELP = (
    "Between bits and noise: none, xor2, xor3 …, mask, von-neumann, peres, toeplitz, sha256; "
    "the store's own by default, or else xor2."
)


def conditioning_of(store: "Store | None", name: str | None) -> "Conditioning":
    """Make the conditioning of that name; without one, give what was chosen for the store, or the XOR of two."""
    from entropy import Xor, conditioning_from_name

    if name is not None:
        return conditioning_from_name(name)
    return (store.conditioning if store is not None else None) or Xor(2)

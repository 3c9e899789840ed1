"""Which conditioning a command uses: the one that was named, or the store's, or the XOR of two."""

import entropy

CONDITIONING_HELP = (
    "Between bits and noise: none, xor2, xor3 …, mask, von-neumann, peres, toeplitz, sha256; "
    "the store's own by default, or else xor2."
)


def conditioning_of(store: "entropy.Store | None", name: str | None) -> "entropy.Conditioning":
    """Make the conditioning of that name; without one, give what was chosen for the store, or the XOR of two."""
    if name is not None:
        return entropy.conditioning_from_name(name)
    return (store.conditioning if store is not None else None) or entropy.Xor(2)

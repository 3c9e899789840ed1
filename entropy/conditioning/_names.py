"""The names of conditionings, as provenances and command lines say them."""

import re

from .._errors import StoreError
from ._mask import PublicMask
from ._none import NoConditioning
from ._peres import Peres
from ._protocol import Conditioning
from ._sha256 import Sha256
from ._toeplitz import Toeplitz
from ._von_neumann import VonNeumann
from ._xor import Xor

CONDITIONING_NAMES = "none, xor2, xor3 …, mask, von-neumann, peres, toeplitz, sha256"


def conditioning_from_name(name: str) -> Conditioning:
    """Make the conditioning that a provenance or a command line names.

    none · xorK · mask[:KEY] · von-neumann · peres[:DEPTH] · toeplitz[:OUT/IN[:SEED]] (seed in hexadecimal) ·
    sha256[:IN] (raw bits of a digest). Raises StoreError for any other.
    """
    kind, _, options = name.partition(":")
    try:
        if name == "none":
            return NoConditioning()
        if name == "von-neumann":
            return VonNeumann()
        if kind == "mask":
            return PublicMask(options) if options else PublicMask()
        if kind == "peres":
            return Peres(int(options)) if options else Peres()
        if kind == "sha256":
            return Sha256(int(options)) if options else Sha256()
        if kind == "toeplitz":
            return _toeplitz(options)
        match = re.fullmatch(r"xor:?(\d{1,4})", name)
        if match and int(match[1]) <= 1024:
            return Xor(int(match[1]))
    except ValueError as error:
        raise StoreError(f"there is no conditioning {name!r}: {error}") from None
    raise StoreError(f"there is no conditioning {name!r}: use one of {CONDITIONING_NAMES}")


def _toeplitz(options: str) -> Toeplitz:
    if not options:
        return Toeplitz()
    lengths, _, seed = options.partition(":")
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", lengths)
    if match is None:
        raise ValueError("its lengths are written OUT/IN, such as toeplitz:1920/4096")
    return Toeplitz(int(match[1]), int(match[2]), bytes.fromhex(seed) if seed else None)

"""Conditioning between the lease and the noise: it takes bias away and never credits more entropy than went in.

Health, assessment and every claim are about the raw bits. What each conditioning guarantees of its output, and on
what assumption, its `output_min_entropy` says.
"""

from ._accounting import nonvetted_output_entropy, output_entropy, vetted_output_entropy
from ._mask import PublicMask
from ._names import CONDITIONING_NAMES, conditioning_from_name
from ._none import NoConditioning
from ._peres import Peres
from ._protocol import Conditioning
from ._sha256 import Sha256
from ._toeplitz import Toeplitz, own_seed
from ._von_neumann import VonNeumann
from ._xor import Xor

__all__ = [
    "CONDITIONING_NAMES",
    "Conditioning",
    "NoConditioning",
    "Peres",
    "PublicMask",
    "Sha256",
    "Toeplitz",
    "VonNeumann",
    "Xor",
    "conditioning_from_name",
    "nonvetted_output_entropy",
    "output_entropy",
    "own_seed",
    "vetted_output_entropy",
]

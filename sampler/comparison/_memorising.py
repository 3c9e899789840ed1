"""The check against memorising: are drawn pictures nearer to training pictures than real ones are?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sampler.comparison._json import JsonRecord
from sampler.comparison._neighbours import nearest
from sampler.comparison._reference import TrainingPictures, as_pixels


@dataclass(frozen=True)
class Memorising(JsonRecord):
    """Distances to the nearest training picture, beside those of real pictures to the nearest other one.

    `*_ratio`: median of the drawn pictures over median of the real ones; well below 1 is memorising. `*_close`: share
    of drawn pictures nearer than all but 1 % of the real ones are; far above 0.01 is memorising. `copies`: pictures
    equal to a training picture in every pixel.
    """

    pixel_ratio: float
    pixel_close: float
    feature_ratio: float
    feature_close: float
    copies: int


def memorising(
    images: npt.NDArray[np.uint8], features: npt.NDArray[np.float32], training: TrainingPictures
) -> Memorising:
    """Check drawn pictures (n, …) uint8 and their features (n, d) against the training pictures."""
    pixel = nearest(as_pixels(images), training.pixels)
    feature = nearest(features, training.features)
    known = {picture.tobytes() for picture in training.images}
    return Memorising(
        *_against(pixel, training.real_pixels),
        *_against(feature, training.real_features),
        sum(picture.tobytes() in known for picture in images),
    )


def _against(found: npt.NDArray[np.float32], real: npt.NDArray[np.float32]) -> tuple[float, float]:
    ratio = float(np.median(found) / max(float(np.median(real)), 1e-12))
    return ratio, float((found < np.quantile(real, 0.01)).mean())

"""What pictures are compared with: real digits in one feature space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sampler._digits import load_digits
from sampler._errors import SamplerError
from sampler.comparison._features import FeatureExtractor
from sampler.comparison._frechet import FrechetDistance, moments
from sampler.comparison._kernel import own_mean
from sampler.comparison._neighbours import Manifold, manifold, nearest
from sampler.comparison._splits import digit_parts
from sampler.processes import ONE_FROM


@dataclass(frozen=True)
class TrainingPictures:
    """The pictures that a network was trained on, and how near real pictures come to them.

    `images` (m, …) uint8; `pixels` (m, p) float32 in 0 … 1; `features` (m, d) float32; `real_pixels`, `real_features`
    (r,) float32: the distance of each of r real pictures to the nearest training picture other than itself.
    """

    images: npt.NDArray[np.uint8]
    pixels: npt.NDArray[np.float32]
    features: npt.NDArray[np.float32]
    real_pixels: npt.NDArray[np.float32]
    real_features: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Reference:
    """Real pictures in the feature space of one extractor, with what every arm needs of them computed once.

    `values` (n, d) float32; `kernel_mean` and `manifold` belong to the kernel distance and to precision and recall.
    """

    name: str
    extractor: str
    extractor_sha256: str
    distance: str
    values: npt.NDArray[np.float32]
    frechet: FrechetDistance
    kernel_mean: float
    manifold: Manifold
    training: TrainingPictures | None


def make_reference(
    name: str,
    images: npt.NDArray[np.uint8],
    extractor: FeatureExtractor,
    labels: npt.NDArray[np.integer] | None = None,
    training: npt.NDArray[np.uint8] | None = None,
    real: npt.NDArray[np.int64] | None = None,
) -> Reference:
    """Make a reference of real pictures (n, h, w[, 3]) uint8.

    Args:
        name: what the pictures are, for the report.
        images: the pictures to compare with; their number is part of what a distance means.
        extractor: the feature space.
        labels: (n,) of the pictures where so many of each were chosen; None where they were drawn as they came.
        training: the pictures (m, h, w[, 3]) that the network learnt from, for the check against memorising.
        real: (r,) which of `training` serve as real pictures in that check: each is held against all others.

    Raises SamplerError for pictures that the extractor does not take, and for fewer than ten.
    """
    if len(images) < 10:
        raise SamplerError(f"a reference takes at least 10 real pictures, not {len(images)}")
    return _reference(
        name,
        extractor,
        extractor(images).values,
        labels,
        None if training is None else _training(training, extractor(training).values, real),
    )


def digit_reference(extractor: FeatureExtractor, bits: bool = False) -> Reference:
    """The reference of the shipped digits: 5,000 of them, 500 of each label; with `bits`, in black and white.

    They are the part `reference` of `digit_parts`. The part `real` (2,000 other digits) is what an ideal generator
    would score, so the arm "real digits" gives the floor of every distance at 2,000 pictures. The shipped network was
    trained on all 10,000, so the check against memorising looks among all of them.
    """
    digits = load_digits()
    parts = digit_parts(digits)
    images = as_bits(digits.images) if bits else digits.images
    values = extractor(images).values
    return _reference(
        "5,000 real digits (500 of each label)" + (", in black and white" if bits else ""),
        extractor,
        values[parts.reference],
        digits.labels[parts.reference],
        _training(images, values, parts.real),
    )


def real_digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """The arm "real digits": 2,000 pictures (2000, 28, 28) uint8, none in the reference, and their labels (2000,)."""
    digits = load_digits()
    real = digit_parts(digits).real
    return digits.images[real], digits.labels[real]


def as_bits(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pictures uint8 in black and white, 0 and 255, as a training of the binary process sees them."""
    return np.where(images >= ONE_FROM, np.uint8(255), np.uint8(0))


def as_pixels(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Pictures (n, …) uint8 as rows (n, p) float32 in 0 … 1."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _reference(
    name: str,
    extractor: FeatureExtractor,
    values: npt.NDArray[np.float32],
    labels: npt.NDArray[np.integer] | None,
    training: TrainingPictures | None,
) -> Reference:
    return Reference(
        name,
        extractor.name,
        extractor.sha256,
        extractor.distance,
        values,
        FrechetDistance(moments(values)),
        own_mean(values, labels),
        manifold(values),
        training,
    )


def _training(
    images: npt.NDArray[np.uint8], features: npt.NDArray[np.float32], real: npt.NDArray[np.int64] | None
) -> TrainingPictures:
    own = np.arange(len(images)) if real is None else real
    pixels = as_pixels(images)
    return TrainingPictures(
        images,
        pixels,
        features,
        nearest(pixels[own], pixels, own),
        nearest(features[own], features, own),
    )

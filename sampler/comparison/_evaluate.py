"""All numbers of one run of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import (
    BeforeValidator,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from entropy.arguments import ANY, Count, takes
from sampler._errors import SamplerError
from sampler.comparison._bootstrap import (
    Interval,
    basic_interval,
    mean_interval,
    resampled_counts,
    share_interval,
)
from sampler.comparison._features import Features
from sampler.comparison._frechet import moments
from sampler.comparison._json import JsonRecord
from sampler.comparison._kernel import kernel_distance
from sampler.comparison._memorising import Memorising, memorising
from sampler.comparison._neighbours import quality
from sampler.comparison._reference import Reference

FORMAT_VERSION = 1
LEAST_PICTURES = 50
_REPLICATES, _REPLICATES_WIDE, _WIDE = 400, 100, 512


@dataclass(frozen=True)
class Evaluation(JsonRecord):
    """What one run of n pictures scores against a reference; every interval is 95 %, over the pictures.

    `frechet` is the Fréchet distance of these n pictures as the formula gives it, biased upwards by a term of order
    1/n: compare it at equal n only. `frechet_interval` is about the bias-corrected value. `frechet_replicates` are
    the bootstrap's distances at the same n, so that later comparisons of runs need no pictures. `kernel` is unbiased,
    `kernel_error` its standard error. `accuracy`: share of pictures whose label the classifier recognises;
    `label_entropy`: entropy in bits of the labels that it sees (3.32 for ten equal shares); `confidence_entropy`:
    mean entropy in bits of its belief in one picture (0 is certain). The three are None in a feature space without a
    classifier. `distance` is how `frechet` must be called in print.
    """

    n: int
    reference: str
    reference_n: int
    extractor: str
    extractor_sha256: str
    distance: str
    key: Annotated[
        int, BeforeValidator(lambda text: int(str(text), 0)), PlainSerializer(lambda key: f"{key:#x}")
    ]
    frechet: float
    frechet_interval: Interval
    frechet_replicates: tuple[float, ...]
    kernel: float
    kernel_error: float
    precision: Interval
    recall: float
    density: float
    coverage: float
    accuracy: Interval | None
    label_entropy: float | None
    confidence_entropy: Interval | None
    memorising: Memorising | None

    @model_serializer(mode="wrap")
    def _version_first(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"format_version": FORMAT_VERSION, **plain(self)}

    @model_validator(mode="before")
    @classmethod
    def _check_version(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if given.get("format_version") != FORMAT_VERSION:
            raise SamplerError(
                f"this evaluation has format version {given.get('format_version')}, this memtj reads "
                f"{FORMAT_VERSION}: evaluate the pictures again"
            )
        return given


@takes(key=Count(most=1 << 128), replicates=ANY)
def evaluate(
    features: Features,
    labels: npt.NDArray[np.integer],
    reference: Reference,
    key: int,
    *,
    images: npt.NDArray[np.uint8] | None = None,
    replicates: int | None = None,
) -> Evaluation:
    """Measure one run of n pictures.

    Args:
        features: of the pictures, from the reference's extractor.
        labels: (n,) the labels that were asked for.
        reference: the real pictures.
        key: 128-bit key of the bootstrap (`bootstrap_key`): the same key repeats the numbers; give each run its own.
        images: (n, h, w[, 3]) uint8, the pictures themselves; without them, or without the reference's training
            pictures, memorising is not checked (real digits are copies of themselves: leave theirs out).
        replicates: of the bootstrap; by default 400, or 100 in more than 512 dimensions, where each takes a second.

    Raises SamplerError for another feature space than the reference's, for labels that are not one for each picture,
    for values that are not finite, for fewer than 50 pictures, 3 of a label, or 50 replicates.
    """
    if replicates is None:
        replicates = _REPLICATES if features.values.shape[1] <= _WIDE else _REPLICATES_WIDE
    _check(features, labels, reference, images, replicates)
    distance = reference.frechet(moments(features.values))
    again = reference.frechet.of_replicates(features.values, resampled_counts(labels, replicates, key))
    kernel = kernel_distance(features.values, reference.values, reference.kernel_mean, labels)
    found = quality(features.values, reference.manifold)
    return Evaluation(
        n=len(features),
        reference=reference.name,
        reference_n=len(reference.values),
        extractor=features.extractor,
        extractor_sha256=features.sha256,
        distance=reference.distance,
        key=key,
        frechet=distance,
        frechet_interval=basic_interval(distance, again),
        frechet_replicates=tuple(again.tolist()),
        kernel=kernel.value,
        kernel_error=kernel.error,
        precision=share_interval(found.precise),
        recall=found.recall,
        density=found.density,
        coverage=found.coverage,
        **_recognition(features, labels),
        memorising=None
        if images is None or reference.training is None
        else memorising(images, features.values, reference.training),
    )


def _recognition(features: Features, labels: npt.NDArray[np.integer]) -> dict[str, Any]:
    if features.probabilities is None:
        return {"accuracy": None, "label_entropy": None, "confidence_entropy": None}
    belief = features.probabilities.astype(np.float64)
    seen = belief.argmax(axis=1)
    shares = np.bincount(seen, minlength=belief.shape[1]) / len(seen)
    return {
        "accuracy": share_interval(seen == labels),
        "label_entropy": float(_entropy(shares)),
        "confidence_entropy": mean_interval(_entropy(belief)),
    }


def _entropy(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Entropy in bits along the last axis."""
    terms = shares * np.log2(np.where(shares > 0, shares, 1.0))
    return np.abs(terms.sum(axis=-1))  # an exact certainty gives −0.0


def _check(
    features: Features,
    labels: npt.NDArray[np.integer],
    reference: Reference,
    images: npt.NDArray[np.uint8] | None,
    replicates: int,
) -> None:
    if features.sha256 != reference.extractor_sha256:
        raise SamplerError(
            f"the pictures were measured in {features.extractor} and the reference in {reference.extractor} of "
            "another extractor file: use one extractor for both"
        )
    if len(features) < LEAST_PICTURES:
        raise SamplerError(
            f"an evaluation takes at least {LEAST_PICTURES} pictures, not {len(features)}: draw more"
        )
    if labels.shape != (len(features),):
        raise SamplerError(
            f"{len(features)} pictures need one label each, not labels of shape {labels.shape}"
        )
    if images is not None and len(images) != len(features):
        raise SamplerError(f"{len(features)} features are not of these {len(images)} pictures")
    if not np.isfinite(features.values).all():
        raise SamplerError("some features are not finite numbers: the extractor does not fit these pictures")
    if replicates < 50:
        raise SamplerError(f"intervals take at least 50 bootstrap replicates, not {replicates}")

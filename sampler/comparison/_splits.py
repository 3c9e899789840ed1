"""Which real digit serves what: fixed parts of the shipped digits."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sampler._digits import Digits

REFERENCE_PER_LABEL = 500
REAL_PER_LABEL = 200


@dataclass(frozen=True)
class DigitParts:
    """Indices into the shipped digits, int64.

    `classifier_training` (8000,) and `classifier_test` (2000,) part all digits for the classifier: every fifth
    picture (index 4, 9, 14 …) is test. `reference` (5000,) is what pictures are compared with, and `real` (2000,)
    is the arm "real digits": what an ideal generator would score at 2,000 pictures. The two share no picture.
    """

    classifier_training: npt.NDArray[np.int64]
    classifier_test: npt.NDArray[np.int64]
    reference: npt.NDArray[np.int64]
    real: npt.NDArray[np.int64]


def digit_parts(digits: Digits) -> DigitParts:
    """Part the digits, the same way on every machine.

    Within each label the pictures are put in order of the SHA-256 of their pixels; the first 500 are the reference,
    the next 200 the real arm. So both have the flat mixture of labels that the arms are drawn with, both mix the
    data set's easy first half with its hard second half, and both hold the same share (a fifth, by chance) of
    pictures that the classifier was not trained on: its better knowledge of its training part then shifts no
    distance between them.
    """
    index = np.arange(len(digits.labels))
    order = np.array(
        sorted(index, key=lambda i: hashlib.sha256(digits.images[i].tobytes()).digest()), dtype=np.int64
    )
    reference: list[npt.NDArray[np.int64]] = []
    real: list[npt.NDArray[np.int64]] = []
    for label in range(10):
        of_label = order[digits.labels[order] == label]
        reference.append(of_label[:REFERENCE_PER_LABEL])
        real.append(of_label[REFERENCE_PER_LABEL : REFERENCE_PER_LABEL + REAL_PER_LABEL])
    test = index % 5 == 4
    return DigitParts(index[~test], index[test], np.concatenate(reference), np.concatenate(real))

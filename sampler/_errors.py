"""What can go wrong between bits and pictures."""

from __future__ import annotations


class SamplerError(Exception):
    """Base of the sampler's errors: one sentence that says what is wrong and what to do."""


class DataSetWarning(UserWarning):
    """A data set is used as it is, and may not be what was meant; the message says why, and what to do."""

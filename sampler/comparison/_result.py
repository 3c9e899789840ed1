"""The results of a comparison, arm by arm, as its report takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sampler.comparison._compare import Comparison
from sampler.comparison._evaluate import Evaluation
from sampler.comparison._json import JsonRecord

Group = Literal[
    "baseline",
    "array",
    "bias",
    "correlation",
    "stuck",
    "repeat",
    "constant",
    "width",
    "conditioning",
]


@dataclass(frozen=True)
class RunResult(JsonRecord):
    """One run of an arm: its seed or lease, what its pictures score, what was claimed of its raw bits (None where
    there are none), a small sheet of its pictures (PNG, base64), and the recorded bits that one picture took.
    """

    seed_or_lease: str
    evaluation: Evaluation
    raw_claim: dict[str, Any] | None = None
    sheet_png: str | None = None
    bits_per_picture: int = 0


@dataclass(frozen=True)
class ArmResult(JsonRecord):
    """One arm: noise of training × noise of sampling, its parameter (as P(1) = 0.52) and its runs.

    `against` names the arm that it is held against, "" where others are held against this one; `comparison` is with
    that arm, None where there is none (yet).
    """

    name: str
    group: Group
    parameter: float | None
    parameter_name: str
    training: str
    sampling: str
    conditioning: str
    bits_per_normal: int
    runs: list[RunResult]
    comparison: Comparison | None = None
    against: str = ""

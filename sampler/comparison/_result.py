"""The results of a comparison, arm by arm, as its report takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sampler.comparison._compare import Comparison
from sampler.comparison._evaluate import Evaluation

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
class RunResult:
    """One run of an arm: its seed or lease, what its pictures score, what was claimed of its raw bits (None where
    there are none), a small sheet of its pictures (PNG, base64), and the recorded bits that one picture took.
    """

    seed_or_lease: str
    evaluation: Evaluation
    raw_claim: dict[str, Any] | None = None
    sheet_png: str | None = None
    bits_per_picture: int = 0

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        return {**self.__dict__, "evaluation": self.evaluation.to_json()}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> RunResult:
        """Read what to_json wrote."""
        return cls(**{**given, "evaluation": Evaluation.from_json(given["evaluation"])})


@dataclass(frozen=True)
class ArmResult:
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

    def to_json(self) -> dict[str, Any]:
        """As plain numbers and texts."""
        return {
            **self.__dict__,
            "runs": [run.to_json() for run in self.runs],
            "comparison": None if self.comparison is None else self.comparison.to_json(),
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> ArmResult:
        """Read what to_json wrote."""
        compared = given["comparison"]
        return cls(
            **{
                **given,
                "runs": [RunResult.from_json(run) for run in given["runs"]],
                "comparison": None if compared is None else Comparison.from_json(compared),
            }
        )

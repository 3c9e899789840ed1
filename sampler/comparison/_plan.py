"""The plan of a comparison: a TOML file that says, before anything runs, which arms there are and what is equal."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from entropy.arguments import Count, takes
from sampler._checkpoint import GAUSSIAN, PROCESSES
from sampler._errors import SamplerError
from sampler._noise_map import NORMAL_WIDTHS
from sampler.comparison._evaluate import LEAST_PICTURES
from sampler.comparison._result import Group
from sampler.drawing._settings import SampleSettings
from sampler.processes import BERNOULLI
from sampler.sources import SourceSpec, check_works_on
from sampler.training import TRAINING_NAMES

if TYPE_CHECKING:
    from entropy import Conditioning

SOFTWARE_ARM = "software"
SHIPPED_PLANS = ("controls", "array")

_UNPLANNED: dict[str, Any] = {"seed": None, "stream": 0, "start": 0}
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._=+%,()-]{0,62}[A-Za-z0-9)]$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _planned(value: Any, validate: ValidatorFunctionWrapHandler) -> SourceSpec:
    try:
        source: SourceSpec = validate(value)
    except SamplerError as error:
        raise ValueError(str(error)) from error
    if source != replace(source, **_UNPLANNED):
        raise ValueError(f"a plan's seeds follow from its key: a source takes no {', '.join(_UNPLANNED)}")
    return source


PlannedSource = Annotated[
    SourceSpec,
    WrapValidator(_planned),
    PlainSerializer(lambda source: {k: v for k, v in asdict(source).items() if k not in _UNPLANNED}),
]
"""A source as a plan names it: without the seeds, which follow from the plan's key."""


class TrainPlan(_Part):
    """A training of the comparison's own: the settings of `memtj train`, and a source for each named noise.

    `noise`: name (weights, shuffle, timesteps, diffusion, dropout, or all) to a source; what has none is software's.
    """

    process: Literal[PROCESSES] = Field(  # pyright: ignore[reportInvalidTypeForm]
        GAUSSIAN,
        exclude_if=lambda process: process == GAUSSIAN,  # as older plans were written
    )
    steps: int = Field(2000, ge=1)
    batch: int = Field(64, ge=1)
    widths: tuple[int, ...] = (16, 24, 32)
    noise: dict[Literal["all", *TRAINING_NAMES], PlannedSource] = {}  # pyright: ignore[reportInvalidTypeForm]
    conditioning: str = "xor2"

    @property
    def described(self) -> str:
        """Where its noise comes from, in a few words."""
        given = [
            source.described if name == "all" else f"{name}: {source.described}"
            for name, source in self.noise.items()
        ]
        return ", ".join(given) or "software"


class ModelPlan(_Part):
    """A network: a checkpoint folder (or "shipped"), or a training: one, or with `each` one of its own for each run."""

    path: str | None = None
    train: TrainPlan | None = None
    each: bool = False

    @model_validator(mode="after")
    def _one(self) -> ModelPlan:
        if (self.path is None) == (self.train is None):
            raise ValueError("a model has a path or is trained: give one of the two")
        return self


class ArmPlan(_Part):
    """One arm: a network, the bits of its sampling noise, and how they become noise.

    `parameter`: what the curve of its `group` is drawn over.
    """

    name: Name
    group: Group
    parameter: float | None = None
    model: str = "shipped"
    source: PlannedSource
    conditioning: str = "none"
    bits_per_normal: int = 32
    runs: int | None = Field(None, ge=1)
    pictures: int | None = Field(None, ge=LEAST_PICTURES)
    against: str = SOFTWARE_ARM

    @property
    def conditioner(self) -> Conditioning:
        """What stands between its bits and its noise."""
        from entropy import conditioning_from_name

        return conditioning_from_name(self.conditioning)

    @model_validator(mode="after")
    def _known(self) -> ArmPlan:
        from entropy import StoreError

        if self.bits_per_normal not in NORMAL_WIDTHS:
            raise ValueError(f"bits_per_normal is one of {', '.join(map(str, NORMAL_WIDTHS))}")
        try:
            conditioner = self.conditioner
            if self.source.store is None:
                check_works_on(conditioner, self.source.described)
        except (StoreError, SamplerError) as error:
            raise ValueError(str(error)) from error
        return self


class Plan(_Part):
    """The whole comparison.

    `pictures` and `runs` are of each arm that does not say otherwise; `margin` is the difference of the Fréchet
    distance that counts as none, fixed before anything runs; `key` is what all seeds are made from.
    """

    name: Name
    key: int = Field(ge=0)
    pictures: int = Field(2000, ge=LEAST_PICTURES)
    runs: int = Field(1, ge=1)
    scheduler: str = "ddpm"
    steps: int = Field(50, ge=1)
    eta: float = Field(0.0, ge=0, le=1)
    microbatch: int = Field(50, ge=1)
    threads: int = Field(1, ge=1)
    margin: float = Field(gt=0)
    models: dict[str, ModelPlan] = {}
    arms: tuple[ArmPlan, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Plan:
        names = [arm.name for arm in self.arms]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"arm {twice[0]!r} stands there twice")
        for arm in self.arms:
            if arm.model != "shipped" and arm.model not in self.models:
                raise ValueError(
                    f"arm {arm.name!r} wants model {arm.model!r}, which [models] does not describe"
                )
            if arm.against not in names:
                raise ValueError(
                    f"arm {arm.name!r} is compared with {arm.against!r}, which is no arm of this plan"
                )
            against = next(other for other in self.arms if other.name == arm.against)
            if self.pictures_of(arm) != self.pictures_of(against):
                raise ValueError(
                    f"arm {arm.name!r} has {self.pictures_of(arm)} pictures and is compared with {arm.against!r}, "
                    f"which has {self.pictures_of(against)}: use the same number, on which the distance's bias depends"
                )
        return self

    def chosen(self, only: Sequence[str] | None) -> list[ArmPlan]:
        """The arms, or those named; raises SamplerError for a name that none has."""
        if not only:
            return list(self.arms)
        known = {arm.name: arm for arm in self.arms}
        for name in only:
            if name not in known:
                raise SamplerError(f"the plan has no arm {name!r}: its arms are {', '.join(known)}")
        return [known[name] for name in only]

    def runs_of(self, arm: ArmPlan) -> int:
        """How many runs an arm has."""
        return arm.runs or self.runs

    def pictures_of(self, arm: ArmPlan) -> int:
        """How many pictures each of its runs has."""
        return arm.pictures or self.pictures

    def model_of(self, arm: ArmPlan) -> ModelPlan:
        """The network of an arm."""
        return self.models.get(arm.model) or ModelPlan(path="shipped")

    @takes(number=Count())
    def training_of(self, arm: ArmPlan, number: int) -> int:
        """Which training of its network a run of an arm uses: its own, or the only one."""
        return number if self.model_of(arm).each else 0

    def settings_of(self, arm: ArmPlan) -> SampleSettings:
        """How the pictures of an arm are sampled."""
        return SampleSettings(self.scheduler, self.steps, self.eta, self.microbatch, arm.bits_per_normal)

    def seed(self, *words: object) -> int:
        """The seed of one thing of this plan, from 0 to 2⁶³ − 1: of SHA-256 of the key and the words."""
        text = "\n".join(map(str, (self.key, *words)))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    @property
    def bits(self) -> bool:
        """Whether its pictures are bits, and real ones are held against them as bits."""
        return self.scheduler == BERNOULLI

    @property
    def stores(self) -> list[str]:
        """The names of the stores that it takes bits from."""
        sources = [arm.source for arm in self.arms]
        for model in self.models.values():
            sources += [] if model.train is None else list(model.train.noise.values())
        return sorted({source.store for source in sources if source.store is not None})


def read_plan(text: str, name: str) -> Plan:
    """Read a plan from TOML; raises SamplerError that names the key where it is wrong."""
    try:
        return Plan(**tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise SamplerError(f"{name} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise SamplerError(f"{name}{', ' + where if where else ''}: {message}") from error
    except TypeError as error:
        raise SamplerError(f"{name}: {error}") from error


def load_plan(path: Path) -> Plan:
    """Read a plan file; raises SamplerError where it cannot be read or says something wrong."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # editors on Windows put a byte order mark before it
    except UnicodeDecodeError as error:
        raise SamplerError(f"{path} is no text in UTF-8: save it as UTF-8") from error
    except OSError as error:
        raise SamplerError(f"{path} cannot be read: name a plan of `memtj compare` ({error})") from error
    return read_plan(text, str(path))


def shipped_plan(name: str) -> Plan:
    """Give one of SHIPPED_PLANS."""
    file = resources.files("sampler") / "comparison" / "plans" / f"{name}.toml"
    return read_plan(file.read_text(encoding="utf-8"), name)

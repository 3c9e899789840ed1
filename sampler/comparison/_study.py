"""A comparison from plan to results: trains what it must, draws every run, judges it, and goes on where it stopped."""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from threadpoolctl import threadpool_limits

from sampler._checkpoint import Checkpoint
from sampler._errors import SamplerError
from sampler._locked import locked
from sampler._whole_files import write_whole
from sampler.comparison._bills import store_bills
from sampler.comparison._bootstrap import bootstrap_key
from sampler.comparison._check import check_plan
from sampler.comparison._compare import Comparison, Run, compare_runs
from sampler.comparison._evaluate import evaluate
from sampler.comparison._features import FeatureExtractor, Features
from sampler.comparison._plan import ArmPlan, Plan
from sampler.comparison._raw_claim import RAW_BITS, raw_claim
from sampler.comparison._reference import Reference, as_bits, real_digits
from sampler.comparison._result import ArmResult, RunResult
from sampler.comparison._trainings import given_network, model_folder, train_model
from sampler.drawing._bill import Bill
from sampler.drawing._part import Part, parts_of
from sampler.drawing._part_files import PartFiles, RunPictures
from sampler.drawing._sample import Supply
from sampler.drawing._supply import NamedLeases, made_bits
from sampler.sources import Packed, SourceSpec, entropy_errors

if TYPE_CHECKING:
    from entropy import Store

_SHOWN = 30  # pictures of a run that the report shows
_COLUMNS = 10
_LOCK = "lock"
_WAIT = 2.0  # s between looks at what another process does


@dataclass(frozen=True)
class StudyProgress:
    """Where a study is: what it does, pictures (or steps) done of this run, of how many, runs done, of how many."""

    doing: str
    done: float
    of: int
    unit: str
    runs_done: int
    runs: int


class Study:
    """A plan in a folder.

    `stores`: those that the plan names, without which it gives the results that are there and runs nothing. Several
    processes may work in one folder: each takes runs that no other is at.
    `results/` of the folder holds what was found, small and readable; `work/` the pictures and their features,
    `models/` the trainings. What is there is not made again, so a study that was interrupted, however, goes on; one
    whose `work/` was lost goes on too, unless it must compare with what is gone.
    `reference` makes what the pictures are compared with, which takes seconds: it is called when there is something to
    measure, and then before anything is drawn, so that a reference that cannot be had costs no picture.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        reference: Callable[[], Reference],
        extractor: FeatureExtractor,
        stores: Mapping[str, Store] | None = None,
        progress: Callable[[StudyProgress], None] = lambda state: None,
    ) -> None:
        self.plan, self.folder, self._extractor = plan, folder, extractor
        self._reference = functools.cache(reference)
        self._stores, self._progress = dict(stores or {}), progress
        self._places, self._done = self._places_of(None), 0  # the runs that progress counts
        _make_folder(folder)
        with locked(folder / _LOCK):
            _claim_folder(folder, plan)

    def run(self, only: Sequence[str] | None = None) -> list[ArmResult]:
        """Do what is not done yet, of all arms or those named, and give the results of all that are whole.

        A run of every arm comes before the second of any, so that what there is early covers the whole plan.
        """
        for name in self.plan.stores:
            if name not in self._stores:
                raise SamplerError(f"the plan takes bits from a store called {name!r}, which was not named")
        check_plan(self.plan, self._extractor, self._stores, only)
        wanted = self._places = self._places_of(only)
        with _threads(self.plan.threads):
            if not all(self._is_there(*place) for place in wanted):
                self._reference()
            while wanted := [place for place in wanted if not self._is_there(*place)]:
                # What another process is at is left to it; when nothing else is left, it is waited for.
                if not any(self._run(*place) for place in wanted):
                    time.sleep(_WAIT)
        return self.results()

    def bills(self, only: Sequence[str] | None = None) -> dict[str, int]:
        """Say how many recorded bits of each store the runs that are not there yet will take, at most."""
        runs = [
            (arm, number, self.plan.microbatch * PartFiles.there(self._work(arm, number)))
            for arm, number in self._places_of(only)
            if not self._is_there(arm, number)
        ]
        return store_bills(self.plan, self.folder, runs, self._stores)

    def results(self) -> list[ArmResult]:
        """Give the results of the arms all of whose runs are there, each compared with the one it is held against."""
        found = []
        with _threads(self.plan.threads):
            # What another process is at is left to it until the rest is there.
            for arm in self.plan.arms:
                self._comparison(arm, wait=False)
            for arm in self.plan.arms:
                runs = [self._result(arm, number) for number in range(self.plan.runs_of(arm))]
                if None not in runs:
                    found.append(self._arm_result(arm, [run for run in runs if run is not None]))
        return found

    def real(self) -> RunResult:
        """Give what other real pictures score: the floor of every distance."""
        path = self.folder / "results" / "real.json"
        if not path.exists():
            images, labels = real_digits()
            images = as_bits(images) if self.plan.bits else images
            with _threads(self.plan.threads):
                found = evaluate(self._extractor(images), labels, self._reference(), self._key("real"))
            _write_json(path, RunResult("real digits", found, sheet_png=_sheet(images, labels)).to_json())
        return RunResult.from_json(_read_json(path))

    def _places_of(self, only: Sequence[str] | None) -> list[tuple[ArmPlan, int]]:
        """The runs of all arms, or of those named: the first of each, then the second of each, and so on."""
        chosen = self.plan.chosen(only)
        rounds = range(max(self.plan.runs_of(arm) for arm in chosen))
        return [(arm, number) for number in rounds for arm in chosen if number < self.plan.runs_of(arm)]

    def _is_there(self, arm: ArmPlan, number: int) -> bool:
        return self._result_path(arm, number).exists()

    def _run(self, arm: ArmPlan, number: int) -> bool:
        """Do a run and say so, unless it is there, or another process is at it."""
        with locked(self._work(arm, number).with_suffix(".lock"), wait=False) as ours:
            if not ours or self._is_there(arm, number):
                return False
            self._done = sum(self._is_there(*place) for place in self._places)
            self._draw_and_judge(arm, number)
        return True

    def _draw_and_judge(self, arm: ArmPlan, number: int) -> None:
        checkpoint = self._checkpoint(arm, number)
        labels = self._labels(arm, checkpoint)
        settings, source = self.plan.settings_of(arm), self._source(arm, number)
        parts = parts_of(checkpoint, settings, enumerate(labels), source, arm.conditioner)
        tell = functools.partial(self._tell, f"{arm.name}, run {number + 1}", len(labels), "pictures")
        pictures = PartFiles(self._work(arm, number), parts).draw(self._supply(arm, number), tell)
        features = self._measured(arm, number, pictures)
        found = evaluate(
            features, pictures.labels, self._reference(), self._key(arm.name, number), images=pictures.images
        )
        claim = raw_claim(*self._raw_bits(arm, pictures, parts))
        result = RunResult(
            self._told(arm, number),
            found,
            claim.to_json(),
            _sheet(pictures.images, pictures.labels),
            _read_each(pictures, parts[0].bill),
        )
        _write_json(self._result_path(arm, number), result.to_json())

    def _arm_result(self, arm: ArmPlan, runs: list[RunResult]) -> ArmResult:
        return ArmResult(
            name=arm.name,
            group=arm.group,
            parameter=arm.parameter,
            parameter_name=_PARAMETERS.get(arm.group, ""),
            training=self._training(arm),
            sampling=arm.source.described,
            conditioning=arm.conditioning,
            bits_per_normal=arm.bits_per_normal,
            runs=runs,
            comparison=self._comparison(arm),
            against="" if arm.against == arm.name else arm.against,
        )

    def _comparison(self, arm: ArmPlan, *, wait: bool = True) -> Comparison | None:
        """Hold the arm against the other one, once; without `wait`, leave what another process is at to it."""
        if arm.against == arm.name:
            return None
        path = self.folder / "results" / arm.name / "comparison.json"
        if path.exists():
            return Comparison.from_json(_read_json(path))
        other = next(item for item in self.plan.arms if item.name == arm.against)
        theirs, own = self._measured_runs(other), self._measured_runs(arm)
        if not theirs or not own:
            return None
        with locked(self.folder / "work" / arm.name / "comparison.lock", wait=wait) as ours:
            if ours and not path.exists():
                found = compare_runs(
                    theirs, own, self.plan.margin, self._key(arm.name, "against", other.name)
                )
                _write_json(path, found.to_json())
        return Comparison.from_json(_read_json(path)) if path.exists() else None

    def _measured_runs(self, arm: ArmPlan) -> list[Run]:
        """The runs with their features; none where not all are there."""
        runs = []
        for number in range(self.plan.runs_of(arm)):
            result, measured = self._result(arm, number), self._work(arm, number) / "features.npz"
            if result is None or not measured.exists():
                return []
            runs.append(Run(*_read_features(measured, self._extractor), result.evaluation))
        return runs

    def _measured(self, arm: ArmPlan, number: int, pictures: RunPictures) -> Features:
        features = self._extractor(pictures.images)
        packed = io.BytesIO()
        np.savez(packed, values=features.values, labels=pictures.labels)
        write_whole(self._work(arm, number) / "features.npz", packed.getvalue(), durable=True)
        return features

    def _checkpoint(self, arm: ArmPlan, number: int) -> Checkpoint:
        model, training = self.plan.model_of(arm), self.plan.training_of(arm, number)
        if model.train is None:
            return given_network(model)
        folder = model_folder(self.folder, arm.model, training)
        name = folder.name
        with locked(folder.with_suffix(".lock")):
            return train_model(
                folder,
                model.train,
                self.plan.seed("training", arm.model, training),
                self._stores,
                f"{self.plan.name} {self.plan.key} model {name}",
                lambda done, of: self._tell(f"training {name}", of, "steps", done),
            )

    def _supply(self, arm: ArmPlan, number: int) -> Supply:
        if arm.source.store is None:
            return made_bits
        purpose = f"{self.plan.name} {self.plan.key} {arm.name} run {number}"
        return NamedLeases(self._stores[arm.source.store], purpose)

    def _raw_bits(
        self, arm: ArmPlan, pictures: RunPictures, parts: Sequence[Part]
    ) -> tuple[Packed, int | None]:
        """The first raw bits of the run, and how many cells take turns in them where that is known."""
        if arm.source.store is not None:
            ranges = [tuple(item) for told in pictures.bits for item in told["ranges"]]
            with entropy_errors():
                recorded = self._stores[arm.source.store].recorded(ranges)
                return recorded.read(min(RAW_BITS, recorded.bits)), None
        each = parts[0].bill.recorded_each
        streams = parts[0].source.make().streams(len(pictures.labels), each)
        read = [streams.stream(i).read(each) for i in range(min(len(pictures.labels), -(-RAW_BITS // each)))]
        return np.concatenate(read)[: RAW_BITS // 8], arm.source.turns

    def _labels(self, arm: ArmPlan, checkpoint: Checkpoint) -> list[int | None]:
        known = checkpoint.pictures.labels
        return [None if known is None else index % known for index in range(self.plan.pictures_of(arm))]

    def _training(self, arm: ArmPlan) -> str:
        train = self.plan.model_of(arm).train
        return f"model {arm.model}" if train is None else train.described

    def _told(self, arm: ArmPlan, number: int) -> str:
        if arm.source.store is not None:
            return f"lease {number + 1} of store {arm.source.store}"
        seed = self._source(arm, number).seed
        return f"run {number + 1}" if seed is None else f"seed {seed}"

    def _source(self, arm: ArmPlan, number: int) -> SourceSpec:
        return arm.source.with_seed(self.plan.seed("sampling", arm.name, number))

    def _key(self, *words: object) -> int:
        return bootstrap_key(self.plan.key, *words)

    def _tell(self, doing: str, of: int, unit: str, done: float) -> None:
        self._progress(StudyProgress(doing, done, of, unit, self._done, len(self._places)))

    def _work(self, arm: ArmPlan, number: int) -> Path:
        return self.folder / "work" / arm.name / f"run-{number}"

    def _result_path(self, arm: ArmPlan, number: int) -> Path:
        return self.folder / "results" / arm.name / f"run-{number}.json"

    def _result(self, arm: ArmPlan, number: int) -> RunResult | None:
        path = self._result_path(arm, number)
        return RunResult.from_json(_read_json(path)) if path.exists() else None


_PARAMETERS = {
    "bias": "P(1)",
    "correlation": "lag-1 correlation",
    "stuck": "share of stuck cells",
    "width": "bits per normal number",
}


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SamplerError(f"{folder} is not a folder: name another one")
    folder.mkdir(parents=True, exist_ok=True)


def _claim_folder(folder: Path, plan: Plan) -> None:
    """Have the folder hold this plan; raises SamplerError where it holds another one."""
    path, now = folder / "plan.json", json.loads(plan.model_dump_json())
    if not path.exists():
        if any(item.name != _LOCK for item in folder.iterdir()):
            raise SamplerError(f"{folder} is not empty and holds no comparison: name another folder")
        _write_json(path, now)
        return
    before = _read_json(path)
    if before == now:
        return
    old, new = ({arm["name"]: arm for arm in it["arms"]} for it in (before, now))
    changed = [key for key in now if key != "arms" and before.get(key) != now[key]]
    changed += [f"arm {name!r}" for name, arm in old.items() if name in new and new[name] != arm]
    if changed:
        raise SamplerError(
            f"{folder} holds a comparison by another plan ({', '.join(changed[:5])} differ): name another folder, or "
            "go on with the plan that it began with"
        )
    _write_json(path, now)  # arms were added or left out: what there is stays true


def _read_each(pictures: RunPictures, cost: Bill) -> int:
    """The recorded bits that a picture took, on average where that varies from one to the other."""
    if not cost.noise_varies:
        return cost.recorded_each
    return sum(told["bits"] for told in pictures.bits) // len(pictures.bits)


def _read_features(path: Path, extractor: FeatureExtractor) -> tuple[Features, npt.NDArray[np.int64]]:
    with np.load(path, allow_pickle=False) as file:
        return Features(file["values"], None, extractor.name, extractor.sha256), file["labels"]


def _sheet(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer]) -> str:
    """The first pictures of each label side by side, label after label, a PNG as base64."""
    from PIL import Image

    turn = np.empty(len(labels), np.int64)  # how many of its label come before a picture
    for label in np.unique(labels):
        own = labels == label
        turn[own] = np.arange(own.sum())
    order = np.lexsort((labels, turn))
    shown = images[order[: min(_SHOWN, len(images)) // _COLUMNS * _COLUMNS]]
    rows = [np.concatenate(list(shown[i : i + _COLUMNS]), axis=1) for i in range(0, len(shown), _COLUMNS)]
    packed = io.BytesIO()
    Image.fromarray(np.concatenate(rows)).save(packed, format="PNG", optimize=True)
    return base64.b64encode(packed.getvalue()).decode()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """Have torch and numpy use so many: on a busy machine more than there are cores for cost ten times the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count, "blas"):
            yield
    finally:
        torch.set_num_threads(before)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SamplerError(f"{path} is damaged: remove it, and it is made again ({error})") from error


def _write_json(path: Path, values: Any) -> None:
    write_whole(path, (json.dumps(values, indent=1) + "\n").encode(), durable=True)

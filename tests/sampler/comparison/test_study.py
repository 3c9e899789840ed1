"""Whole small comparisons: what is there is kept, the numbers of an interrupted one are those of a whole one."""

import base64
import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from entropy import FileLock, Store
from sampler import Architecture, SamplerError
from sampler.comparison import (
    Comparison,
    FeatureExtractor,
    Plan,
    RawClaim,
    Reference,
    Study,
    StudyProgress,
    _raw_claim,
    _study,
    compare_runs,
    digit_features,
    digit_reference,
    read_plan,
    real_digits,
)
from tests.sampler.conftest import save_untrained

SMALL = Architecture(image_size=28, widths=(8, 16), norm_groups=4, attention_head=8)


class Interrupted(Exception):
    """What stands for Ctrl-C."""


@pytest.fixture(scope="module", autouse=True)
def raw_claims() -> Iterator[None]:
    """What was found of raw bits, kept: the same bits of the same arms are judged in nearly every test."""
    judge, known = _study.raw_claim, {}

    def raw_claim(bits: np.ndarray, *more: Any) -> RawClaim:
        key = hashlib.sha256(bits.tobytes()).digest(), *more
        if key not in known:
            known[key] = judge(bits, *more)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_study, "raw_claim", raw_claim)
        patch.setattr(_raw_claim, "ESTIMATED_BITS", 200_000)  # a million of them: test_raw_claim.py
        yield


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return digit_features()


@pytest.fixture(scope="module")
def reference(extractor: FeatureExtractor) -> Callable[[], Reference]:
    return functools.cache(lambda: digit_reference(extractor))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of random weights: its pictures follow its noise and nothing else."""
    return save_untrained(tmp_path_factory.mktemp("checkpoints") / "small", SMALL)


def plan_of(model: Path, arms: str, key: int = 3) -> Plan:
    head = f'name = "test"\nkey = {key}\npictures = 60\nsteps = 2\nmicrobatch = 20\nmargin = 5.0\n'
    return read_plan(head + f'[models.small]\npath = "{model.as_posix()}"\n' + arms, "test.toml")


def arm(name: str, source: str, more: str = "") -> str:
    return (
        f'[[arms]]\nname = "{name}"\ngroup = "baseline"\nmodel = "small"\nsource = {{ {source} }}\n{more}\n'
    )


SOFTWARE = arm("software", 'kind = "software"', "runs = 2")
DEAD = arm("dead", 'kind = "constant"', 'conditioning = "mask:memtj"')
ALL_ONES = arm("all ones", 'kind = "constant", value = 1')
LEASED = arm("array", 'kind = "store", store = "array"', 'conditioning = "xor2"')


@pytest.fixture(scope="module")
def compared(
    tmp_path_factory: pytest.TempPathFactory,
    model: Path,
    reference: Callable[[], Reference],
    extractor: FeatureExtractor,
) -> Study:
    """A comparison that has been run to its end."""
    study = Study(
        plan_of(model, SOFTWARE + DEAD + ALL_ONES),
        tmp_path_factory.mktemp("study") / "out",
        reference,
        extractor,
    )
    study.run()
    return study


def test_both_verdicts_stand_side_by_side(compared: Study) -> None:
    software, dead, ones = compared.results()
    assert [len(item.runs) for item in (software, dead, ones)] == [2, 1, 1]
    assert software.comparison is None
    assert dead.comparison is not None
    assert ones.comparison is not None
    assert dead.comparison.difference.p_value > 1e-6, "its pictures are software's"
    assert ones.comparison.difference.p_value < 1e-3, (
        "every normal is the same: no picture is like software's"
    )
    for item in (dead, ones):
        assert item.runs[0].raw_claim is not None
        assert item.runs[0].raw_claim["min_entropy"] == 0
        assert item.runs[0].raw_claim["reasons"]
    assert software.runs[0].raw_claim is not None
    assert not software.runs[0].raw_claim["reasons"]


def test_a_comparison_that_another_process_makes_is_left_to_it_until_the_rest_is_there(
    compared: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [item.to_json() for item in compared.results()]
    dead, ones = (compared.folder / "results" / name / "comparison.json" for name in ("dead", "all ones"))
    dead.unlink()
    ones.unlink()
    theirs = FileLock(compared.folder / "work" / "dead" / "comparison.lock")
    there: list[tuple[bool, bool]] = []

    def compare(*words: Any) -> Comparison:
        there.append((dead.exists(), ones.exists()))
        theirs.release()
        return compare_runs(*words)

    monkeypatch.setattr(_study, "compare_runs", compare)
    assert [item.to_json() for item in compared.results()] == before
    assert there == [(False, False), (False, True)], (
        "each was made once, the one that was free before the other"
    )


@pytest.mark.slow
def test_an_interrupted_comparison_goes_on_to_the_same_numbers(
    tmp_path: Path,
    model: Path,
    reference: Callable[[], Reference],
    extractor: FeatureExtractor,
    recorded: Callable[[int], Store],
) -> None:
    plan = plan_of(model, SOFTWARE + LEASED)
    each = 2 * 32 * 28 * 28 * 2
    store = recorded(60 * each)

    def interrupt(state: StudyProgress) -> None:
        if "array" in state.doing and 20 < state.done < 40:
            raise Interrupted

    study = Study(plan, tmp_path / "a", reference, extractor, {"array": store}, interrupt)
    with pytest.raises(Interrupted):
        study.run()
    assert [item.name for item in study.results()] == []
    study = Study(plan, tmp_path / "a", reference, extractor, {"array": store})
    first = study.run()
    assert store.accounts().free == store.accounts().recorded - 60 * each
    study = Study(plan, tmp_path / "a", reference, extractor, {"array": store})
    assert [item.to_json() for item in study.run()] == [item.to_json() for item in first]
    assert store.accounts().free == store.accounts().recorded - 60 * each, "nothing was drawn again"
    study = Study(plan_of(model, SOFTWARE), tmp_path / "b", reference, extractor)
    assert study.run()[0].to_json() == first[0].to_json(), "an arm's numbers are its own"


def test_another_plan_and_a_foreign_folder_are_refused(
    tmp_path: Path, model: Path, reference: Callable[[], Reference], extractor: FeatureExtractor
) -> None:
    Study(plan_of(model, SOFTWARE), tmp_path / "out", reference, extractor)
    with pytest.raises(SamplerError, match="by another plan \\(key differ"):
        Study(plan_of(model, SOFTWARE, key=4), tmp_path / "out", reference, extractor)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(SamplerError, match="is not empty"):
        Study(plan_of(model, SOFTWARE), tmp_path / "full", reference, extractor)
    more = Study(plan_of(model, SOFTWARE + LEASED), tmp_path / "out", reference, extractor)
    with pytest.raises(SamplerError, match="store called 'array', which was not named"):
        more.run()
    assert more.results() == [], "what is there can be had without the store"


def test_a_reference_that_cannot_be_had_costs_no_picture_and_results_need_none(
    tmp_path: Path, model: Path, reference: Callable[[], Reference], extractor: FeatureExtractor
) -> None:
    def none() -> Reference:
        raise SamplerError("no real pictures")

    plan = plan_of(model, SOFTWARE)
    with pytest.raises(SamplerError, match="no real pictures"):
        Study(plan, tmp_path / "out", none, extractor).run()
    assert not (tmp_path / "out" / "work").exists(), "nothing was drawn"
    found = Study(plan, tmp_path / "out", reference, extractor).run()
    again = Study(plan, tmp_path / "out", none, extractor)
    assert [item.to_json() for item in again.run()] == [item.to_json() for item in found]


def test_a_run_that_another_process_is_at_is_left_to_it_and_waited_for(
    tmp_path: Path, model: Path, reference: Callable[[], Reference], extractor: FeatureExtractor
) -> None:
    done: list[str] = []
    plan = plan_of(model, SOFTWARE + DEAD)
    Study(plan, tmp_path / "out", reference, extractor)
    place = tmp_path / "out" / "work" / "software"
    place.mkdir(parents=True)
    theirs = FileLock(place / "run-0.lock")  # it belongs to an open file: as good as another process's

    def progress(state: StudyProgress) -> None:
        if not done or done[-1] != state.doing:
            done.append(state.doing)
        if len(done) == 2:
            theirs.release(remove=True)

    found = Study(plan, tmp_path / "out", reference, extractor, progress=progress).run()
    assert [item.name for item in found] == ["software", "dead"]
    assert done == ["dead, run 1", "software, run 2", "software, run 1"]


def test_the_sheet_of_real_pictures_shows_every_label(
    tmp_path: Path, model: Path, reference: Callable[[], Reference], extractor: FeatureExtractor
) -> None:
    sheet = Study(plan_of(model, SOFTWARE), tmp_path / "out", reference, extractor).real().sheet_png
    assert sheet is not None
    with Image.open(io.BytesIO(base64.b64decode(sheet))) as picture:
        rows = np.asarray(picture).reshape(3, 28, 10, 28).swapaxes(1, 2)
    images, labels = real_digits()
    for row, column in np.ndindex(3, 10):
        (found,) = np.flatnonzero((images == rows[row, column]).all(axis=(1, 2)))
        assert labels[found] == column


BINARY = """
name = "bits"
key = 3
pictures = 60
steps = 6
microbatch = 20
margin = 5.0
scheduler = "bernoulli"
[models.small]
train = { process = "binary", steps = 2, batch = 2, widths = [8, 16] }
"""


def test_pictures_of_bits_are_held_against_each_other_and_against_bits(
    tmp_path: Path, extractor: FeatureExtractor, recorded: Callable[[int], Store]
) -> None:
    plan = read_plan(BINARY + arm("software", 'kind = "software"') + LEASED + ALL_ONES, "bits.toml")
    store = recorded(60 * 2 * 7 * 28 * 28 * 2)
    study = Study(
        plan, tmp_path / "out", lambda: digit_reference(extractor, bits=True), extractor, {"array": store}
    )
    bill = study.bills()["array"]
    software, array, ones = study.run()
    assert array.comparison is not None
    assert ones.comparison is not None
    assert array.comparison.difference.p_value > 1e-6, "recorded bits draw software's pictures"
    assert ones.comparison.difference.p_value < 1e-3, "every number is 0: no picture is like software's"
    read = array.runs[0].bits_per_picture
    assert read == store.accounts().consumed // 60 < bill // 60
    assert software.runs[0].bits_per_picture == pytest.approx(read / 2, rel=0.1), "the XOR of two takes twice"
    assert (
        software.runs[0].evaluation.reference == "5,000 real digits (500 of each label), in black and white"
    )
    images = [np.load(path)["images"] for path in (study.folder / "work").rglob("part-*.npz")]
    sheet = study.real().sheet_png
    assert sheet is not None
    with Image.open(io.BytesIO(base64.b64decode(sheet))) as picture:
        images.append(np.asarray(picture))
    assert {int(value) for own in images for value in np.unique(own)} == {0, 255}
    again = Study(plan, tmp_path / "out", study._reference, extractor, {"array": store}).run()
    assert [item.to_json() for item in again] == [item.to_json() for item in (software, array, ones)]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (('"bernoulli"', '"ddpm"'), "not by a scheduler such as ddpm"),
        (("steps = 6", "steps = 65"), "trained for 64 binary steps"),
        (('process = "binary", ', ""), "there is no scheduler 'bernoulli'"),
    ],
)
def test_a_plan_of_the_other_process_is_refused_before_anything_is_drawn(
    tmp_path: Path, extractor: FeatureExtractor, changed: tuple[str, str], message: str
) -> None:
    plan = read_plan(BINARY.replace(*changed) + arm("software", 'kind = "software"'), "bits.toml")
    study = Study(plan, tmp_path / "out", lambda: digit_reference(extractor), extractor)
    with pytest.raises(SamplerError, match=message):
        study.run()
    assert not (tmp_path / "out" / "work").exists()


def test_a_comparison_goes_on_whose_plan_knew_of_no_process(
    tmp_path: Path, reference: Callable[[], Reference], extractor: FeatureExtractor
) -> None:
    text = BINARY.replace("bernoulli", "ddpm").replace('process = "binary", ', "")
    plan = read_plan(text + arm("software", 'kind = "software"'), "old.toml")
    file = Study(plan, tmp_path / "out", reference, extractor).folder / "plan.json"
    assert "process" not in json.loads(file.read_text())["models"]["small"]["train"]
    Study(plan, tmp_path / "out", reference, extractor)
    with pytest.raises(SamplerError, match="by another plan \\(models differ"):
        Study(
            read_plan(text.replace("steps = 2", "steps = 3") + arm("software", 'kind = "software"'), "old.toml"),
            tmp_path / "out", reference, extractor,
        )  # fmt: skip


def test_an_arm_that_the_plan_does_not_have_is_named(
    tmp_path: Path, model: Path, reference: Callable[[], Reference], extractor: FeatureExtractor
) -> None:
    study = Study(plan_of(model, SOFTWARE), tmp_path / "out", reference, extractor)
    with pytest.raises(SamplerError, match="no arm 'softwear': its arms are software"):
        study.run(["softwear"])


def test_the_bill_says_what_each_store_must_still_hold(
    tmp_path: Path,
    model: Path,
    reference: Callable[[], Reference],
    extractor: FeatureExtractor,
    recorded: Callable[[int], Store],
) -> None:
    each = 2 * 32 * 28 * 28 * 2
    store = recorded(60 * each)
    plan = plan_of(model, SOFTWARE + LEASED)

    def interrupt(state: StudyProgress) -> None:
        if "array" in state.doing and state.done > 20:
            raise Interrupted

    study = Study(plan, tmp_path / "a", reference, extractor, {"array": store}, interrupt)
    assert study.bills() == {"array": 60 * each}
    assert study.bills(["software"]) == {"array": 0}
    with pytest.raises(Interrupted):
        study.run(["array"])
    assert study.bills() == {"array": 40 * each}


def test_the_bill_of_a_network_that_is_not_trained_yet(
    tmp_path: Path,
    model: Path,
    reference: Callable[[], Reference],
    extractor: FeatureExtractor,
    recorded: Callable[[int], Store],
) -> None:
    store = recorded(8)
    trained = (
        "[models.own]\ntrain = { steps = 3, batch = 2, widths = [8, 16], noise = "
        '{ diffusion = { kind = "store", store = "array" } } }\n'
        '[[arms]]\nname = "software"\ngroup = "baseline"\nmodel = "own"\nsource = { kind = "software" }\n'
    )
    study = Study(plan_of(model, trained), tmp_path / "a", reference, extractor, {"array": store})
    assert study.bills() == {"array": 3 * 2 * 28 * 28 * 32 * 2}

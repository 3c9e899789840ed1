"""`memtj compare` as a user runs it: wrong words, both verdicts, kills in the middle."""

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import record_blocks, sound_accounts
from memtj._comparison_origin import Origin, begun_with
from memtj._errors import CommandError
from sampler import Architecture, SoftwareSource
from sampler.comparison import make_reference, real_digits
from tests.sampler.conftest import save_untrained

SMALL = Architecture(image_size=28, widths=(8, 16), norm_groups=4, attention_head=8)
CELLS, PULSES = 4096, 64
EACH = 2 * 28 * 28 * 32 * 2  # recorded bits of a picture: two draws, the XOR of two

PLAN = """
name = "small"
key = 5
pictures = 60
steps = 2
microbatch = 10
margin = 5.0
[models.small]
path = "{model}"
[[arms]]
name = "software"
group = "baseline"
model = "small"
source = {{ kind = "software" }}
[[arms]]
name = "dead array"
group = "constant"
model = "small"
source = {{ kind = "constant" }}
conditioning = "mask:memtj"
"""
LEASED = """
[[arms]]
name = "array"
group = "array"
model = "small"
source = { kind = "store", store = "mine" }
conditioning = "xor2"
runs = 2
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    text = PLAN.format(model=save_untrained(folder / "small", SMALL).as_posix())
    (folder / "plan.toml").write_text(text)
    (folder / "leased.toml").write_text(text + LEASED)
    return folder / "plan.toml"


def record(path: Path, bits: int) -> None:
    """Record the same software bits into a new store."""
    made, count = SoftwareSource(9), CELLS * PULSES
    record_blocks(path, (made.read(count) for _ in range(-(-bits // count))), cells=CELLS)


def results(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): path.read_text() for path in sorted((out / "results").rglob("*.json"))
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing.toml"], "nothing.toml does not exist: name a plan file, or one of the shipped ones"),
        (["array"], "say which, --store array=FOLDER"),
        (["array", "--store", "bits"], "is not NAME=FOLDER"),
        (["controls", "--store", "bits=x"], "takes no bits from a store of that name, only from no store"),
        (["array", "--store", "array=none-such"], "none-such"),
        (["controls", "--only", "softwear"], "no arm 'softwear'"),
        (["controls", "--report-only"], "does not exist: go on without --report-only"),
        (["controls", "--features", "none.pt"], "none.pt"),
    ],
)
def test_wrong_words_are_one_sentence(
    memtj_here: Callable, tmp_path: Path, words: list[str], sentence: str
) -> None:
    done = memtj_here("compare", *words, "--out", tmp_path / "out", status=1)
    assert sentence in done.stderr
    assert done.stderr.strip().count("\n") <= 1, done.stderr


def test_both_verdicts_are_said_and_written(
    memtj_here: Callable, plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sampler.comparison._raw_claim.ESTIMATED_BITS", 200_000)
    some = real_digits()[0][:500]
    monkeypatch.setattr(
        "sampler.comparison.digit_reference", lambda by, bits: make_reference("some", some, by)
    )
    said = memtj_here("compare", plan, "--out", tmp_path / "out", "--json", status=0).json
    dead = said["arms"]["dead array"]
    assert (dead["raw_bits_min_entropy"], dead["raw_bits"]) == (0, "not ideal")
    assert said["arms"]["software"]["raw_bits"] == "like ideal"
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Fréchet distance, digit features" in page
    assert "FID" not in page
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert [arm["name"] for arm in report["arms"]] == ["software", "dead array"]
    assert "SOFTWARE BITS ALONE" in page
    assert report["commands"] == [f"memtj compare {plan} --out {tmp_path / 'out'}"]
    # What is there can be told without the store.
    again = ("--out", tmp_path / "out", "--report-only")
    leased = memtj_here("compare", plan.with_name("leased.toml"), *again, "--json", status=0)
    assert list(leased.json["arms"]) == ["software", "dead array"]
    again = memtj_here("compare", plan, *again)
    assert "dead array" in again.stdout
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report


def test_the_report_says_whether_the_array_was_a_simulated_one(tmp_path: Path) -> None:
    assert begun_with(tmp_path) == Origin()
    record(tmp_path / "a", 1)
    with Store(tmp_path / "a") as simulated, Store(tmp_path / "b") as empty:
        assert Origin().again("x", [empty]) == Origin("x", None)
        assert Origin("x", False).again("y", [simulated]) == Origin("y", True)
        assert Origin("y", True).again("z", [empty]) == Origin("z", True)
    Origin("y", True).write(tmp_path)
    assert begun_with(tmp_path) == Origin("y", True)
    (tmp_path / "origin.json").write_text("{")
    with pytest.raises(CommandError, match="remove it, and it is written again"):
        begun_with(tmp_path)


@pytest.fixture(scope="module")
def whole(memtj: Callable, plan: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The results of the plan with leases, run alone and to its end."""
    folder = tmp_path_factory.mktemp("whole")
    record(folder / "store", 2 * 60 * EACH)
    words = ("--out", folder / "out", "--store", f"mine={folder / 'store'}")
    memtj("compare", plan.with_name("leased.toml"), *words, timeout=300, status=0)
    return results(folder / "out")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_any_point_it_comes_to_the_same_numbers_and_no_bit_serves_twice(
    whole: dict[str, str], start: Callable[..., subprocess.Popen[str]], plan: Path, tmp_path: Path
) -> None:
    record(tmp_path / "mine", 2 * 60 * EACH)
    waits = random.Random(time.time_ns())
    kills = 0
    store = f"mine={tmp_path / 'mine'}"
    words = ("compare", plan.with_name("leased.toml"), "--out", tmp_path / "killed", "--store", store)
    while True:
        process = start(*words)
        try:
            # Later from kill to kill, so that it comes to an end: its start alone takes seconds.
            process.wait(timeout=waits.uniform(4, 12) + 2 * kills)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert kills, "it was killed at least once"
    assert results(tmp_path / "killed") == whole
    accounts = sound_accounts(tmp_path / "mine")
    assert accounts.consumed + accounts.burned == 2 * 60 * EACH, "each bit has its one picture"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_at_once_share_the_runs_and_no_bit_serves_twice(
    whole: dict[str, str],
    end: Callable,
    start: Callable[..., subprocess.Popen[str]],
    plan: Path,
    tmp_path: Path,
) -> None:
    record(tmp_path / "mine", 2 * 60 * EACH)
    store = f"mine={tmp_path / 'mine'}"
    words = ("compare", plan.with_name("leased.toml"), "--out", tmp_path / "out", "--store", store)
    both = [start(*words), start(*words)]
    for process in both:
        end(process, None, timeout=300, status=0)
    # Which lease of the store which run has depends on who was first.
    shared, own = (
        {name: text for name, text in found.items() if Path(name).parts[1] != "array"}
        for found in (results(tmp_path / "out"), whole)
    )
    assert shared == own
    assert len(own) >= 3, "two arms and their comparison"
    accounts = sound_accounts(tmp_path / "mine")
    assert (accounts.consumed, accounts.burned) == (2 * 60 * EACH, 0)

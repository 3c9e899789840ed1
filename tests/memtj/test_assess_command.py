"""`memtj assess`: its verdict, its page, its JSON, and what it refuses."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from entropy import CELL_DTYPE, NotAssessed, Store
from entropy.testing import append_outcomes, start_recording
from memtj.pages.assessment_words import WORDS, word
from tests.conftest import missing

DATA = Path(__file__).parents[1] / "entropy" / "data" / "sp80090b"
QUICK = ("--quick", "--bits", "5e4", "--sequences", 3, "--sequence-bits", "2e4")
CELLS = 256


def record(path: Path, *, simulated: bool = True, one: float = 0.5, pulses: int = 600) -> None:
    """Record blocks of fair or biased bits of a square array."""
    cells = np.zeros(CELLS, CELL_DTYPE)
    cells["row"], cells["column"] = np.divmod(np.arange(CELLS), 16)
    rng = np.random.default_rng(pulses)
    with Store(path) as store, start_recording(store, cells, simulated=simulated) as recording:
        for block in range(4):
            bits = (rng.random(pulses // 4 * CELLS) < one).astype(np.uint8)
            append_outcomes(recording, bits, host_time=1e9 + block)


@pytest.mark.slow
def test_the_json_of_a_file_is_nists_numbers(memtj_here: Callable) -> None:
    said = memtj_here("assess", DATA / "toggle.bin", "--json", "--quick", "--windows", 0, status=0).json
    reference = json.loads((DATA / "reference.json").read_text())["toggle"]
    assert said["min_entropy"] == pytest.approx(reference, abs=1e-6)
    assert said["simulated"] is None
    assert said["sp800_22"]["ok"] is False
    assert "frequency" in said["sp800_22"]["failed"]
    assert said["health"]["window"] == 1024
    assert said["restarts"] is None
    assert said["original"] == said["min_entropy"]["min"]
    # 0.734 of min-entropy, by the flip probabilities of 0.6 and 0.4, of which this estimate keeps what it can show
    assert said["ideal"][0] > said["original"]


def test_the_page_of_a_store(memtj_here: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path / "store")
    monkeypatch.chdir(tmp_path)
    with Store(tmp_path / "store") as store:
        before = store.accounts()
    options = ("--bits", "5e4", "--sequences", 3, "--sequence-bits", "2e4", "--windows", 3)
    done = memtj_here("assess", tmp_path / "store", *options, "--claim", 0.3, status=0)
    assert "SIMULATED bits" in done.stdout
    assert "claim 0.3: SUPPORTED" in done.stdout
    page = (tmp_path / "assessment.html").read_text("utf-8")
    assert not re.search(r'(src|href)="(?!data:)', page), "the page must be self-contained"
    parts = (
        "SIMULATED",
        "cell by cell",
        "after xor2",
        "Over the recording",
        "linear complexity",
        "SUPPORTED",
    )
    assert missing(page, *parts) == []
    assert page.count("data:image/png") == 6
    with Store(tmp_path / "store") as store:
        assert store.accounts() == before


def test_a_claim_that_is_not_supported_ends_with_1(memtj_here: Callable, tmp_path: Path) -> None:
    record(tmp_path / "store", simulated=False, one=0.7)
    said = memtj_here("assess", tmp_path / "store", *QUICK, "--claim", 0.5, "--json", status=1).json
    assert said["supported"] is said["simulated"] is False
    assert "NOT SUPPORTED" in said["verdict"]
    assert said["cells"]["cells"] == len(said["cells"]["markov"]) == CELLS
    assert "physical array" in said["origin"]


def test_a_claim_beyond_what_so_few_bits_can_show_is_said_to_be_so(
    memtj_here: Callable, tmp_path: Path
) -> None:
    record(tmp_path / "store")
    done = memtj_here("assess", tmp_path / "store", *QUICK, "--claim", 0.99, "--json", status=1)
    assert "So few bits cannot support it" in done.json["verdict"]


def test_restarts_and_iid_tests_of_files(memtj_here: Callable, tmp_path: Path) -> None:
    bits = np.random.default_rng(1).integers(0, 2, 20_000, dtype=np.uint8)
    bits.tofile(tmp_path / "bytes")
    np.packbits(bits).tofile(tmp_path / "matrix")
    options = (
        "--restarts",
        tmp_path / "matrix",
        "--iid",
        "--bits",
        "8e3",
        "--windows",
        2,
        "--conditioning",
        "none",
    )
    said = memtj_here("assess", tmp_path / "bytes", *options, "--json", status=0).json
    assert (said["restarts"]["rows"], said["restarts"]["standard"]) == (20, False)
    assert said["restarts"]["passed"] is True
    assert said["iid"]["permutations"]["passed"] is True


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "is empty"),
        (["text"], "is text, not bits"),
        (["few"], "6,012 bits were wanted and 800 are there"),
        (["store/ledger.sqlite"], "name the store's folder"),
        (["folder"], "folder"),
        (["store", "--as", "packed"], "is for files"),
        (["few", "--recording", "abc"], "leave --recording out"),
        (["store", "--recording", "abc"], "no recording 'abc'"),
        (["store", "--claim", "1.2"], "at most 1"),
        (["store", "--conditioning", "rot13"], "no conditioning 'rot13'"),
        (["store", "--page", "no/page.html"], "no is no folder"),
        (["store", "--restarts", "few"], "no rows of 1,000"),
        (["store", "--restarts", "nowhere"], "nowhere does not exist"),
        (["empty-store"], "no recorded bits"),
    ],
)
def test_mistakes(
    memtj_here: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments, said
) -> None:
    monkeypatch.chdir(tmp_path)
    record(tmp_path / "store", pulses=8)
    Store(tmp_path / "empty-store").close()
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello, world\n" * 1000)
    (tmp_path / "few").write_bytes(np.random.default_rng(0).bytes(100))
    done = memtj_here("assess", *arguments, status=1)
    assert said in done.sentence
    assert not (tmp_path / "assessment.html").exists()


def test_a_form_that_is_none(memtj_here: Callable, tmp_path: Path) -> None:
    (tmp_path / "few").write_bytes(bytes(100))
    done = memtj_here("assess", tmp_path / "few", "--as", "hex", "--page", tmp_path / "page.html", status=2)
    assert "'hex' is not one of 'packed', 'bytes', 'npy'" in done.errors
    assert not (tmp_path / "page.html").exists()


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly(start: Callable, end: Callable, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    running: subprocess.Popen[str] = start(
        "assess", DATA / "fair.bin", "--bits", "2e4", "--windows", 1000, "--page", page
    )
    assert running.stderr is not None
    deadline = time.monotonic() + 60
    while "windows" not in running.stderr.readline():
        assert time.monotonic() < deadline
    end(running, signal.SIGINT, status=130)
    assert not page.exists()


def test_words_fall_with_the_estimate() -> None:
    falling = ["good", "fair", "poor", "useless", "useless"]
    assert [word(value, 0.8) for value in (0.8, 0.6, 0.3, 0.05, 0.0)] == falling
    assert [name for name, _ in WORDS] == ["good", "fair", "poor", "useless"]


def test_what_a_store_was_assessed_at_can_be_claimed_and_no_more(
    memtj_here: Callable, tmp_path: Path
) -> None:
    record(tmp_path / "store")
    with Store(tmp_path / "store") as store, pytest.raises(NotAssessed, match="memtj assess"):
        store.lease(8, purpose="too early", min_entropy=0.1)
    worth = memtj_here("assess", tmp_path / "store", *QUICK, "--json", status=0).json["assessed"]
    with Store(tmp_path / "store") as store:
        (noted,) = store.credits()
        assert 0.1 < noted.min_entropy <= worth
        store.lease(8, purpose="as assessed", min_entropy=noted.min_entropy).burn()
        with pytest.raises(NotAssessed, match="memtj assess"):
            store.lease(8, purpose="more than that", min_entropy=noted.min_entropy + 0.001)

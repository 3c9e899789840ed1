"""`memtj sample` with a claim, through the conditioning that was chosen for the store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import random_blocks, record_blocks
from tests.conftest import missing

BITS = 1 << 21


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two buffers of 2^20 bits, the second assessed at 0.9; Peres's extractor is the store's own."""
    with Store(tmp_path / "bits") as made:
        for seed in range(2):
            record_blocks(made, random_blocks(1, BITS // 16, seed), cells=4096)
        made.credit(made.buffers()[1].uuid, 0.9, bits=BITS // 2, basis="test")
        made.set_conditioning("peres:2")
    return tmp_path / "bits"


def test_pictures_with_a_claim_use_assessed_bits_and_say_what_it_is_worth(
    memtj_here: Callable, store: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    common = ("sample", "--store", store, "--images", 1, "--steps", 2, "--min-entropy", 0.9)
    done = memtj_here(*common, "--out", out, status=0)
    assert "at most" in done.stdout
    assert (
        "claim: 0.9 bit of min-entropy in every raw bit; peres:2 leaves at least 0 in every bit"
        in done.stdout
    )
    told = json.loads(next((out / "pictures").glob("*.json")).read_text())["bits"]
    assert told["conditioning"] == "peres:2"
    assert told["min_entropy"] == {"raw": 0.9, "noise": 0.0, "noise_if_independent": 1.0}
    with Store(store) as opened:
        assert {buffer for buffer, _, _ in told["ranges"]} == {opened.buffers()[1].uuid}
        assert opened.accounts().consumed == told["bits"] > 0
    memtj_here("replay", next((out / "pictures").glob("*.png")), "--store", store, status=0)
    done = memtj_here(*common, "--out", tmp_path / "more", "--conditioning", "sha256:8192", status=1)
    assert missing(done.stderr, "1 assessed at 0.9, 1 not assessed", "record more, or claim less") == []

"""What would be refused in the end is refused at once: no bit is spent, nothing made, no file replaced."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from entropy import Store
from entropy.testing import random_blocks, record_blocks
from tests.conftest import content

PLAN = """name = "try"
key = 1
pictures = 50
steps = 2
microbatch = 25
margin = 10.0
[[arms]]
name = "software"
group = "baseline"
source = { kind = "software" }
[[arms]]
name = "array"
group = "array"
source = { kind = "store", store = "array" }
conditioning = "xor2"
"""
MODEL = '\nmodel = "own"\n[models.own]\n'


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of many cells, one of few, which XOR refuses, a file, a page, and plans."""
    folder = tmp_path_factory.mktemp("early")
    record_blocks(folder / "bits", random_blocks(1, 1 << 15), cells=4096)
    record_blocks(folder / "few", random_blocks(1, 1 << 15), cells=32)
    (folder / "file").write_text("somebody's")
    np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tofile(folder / "bits.bin")
    np.savez(folder / "set.npz", images=np.random.default_rng(0).integers(0, 256, (4, 8, 8), np.uint8))
    plans = {
        "good": PLAN,
        "scheduler": PLAN.replace("margin", 'scheduler = "nope"\nmargin'),
        "eta": PLAN.replace("margin", "eta = nan\nmargin"),
        "pictures": PLAN.replace("pictures = 50", "pictures = 49"),
        "unequal": PLAN + "pictures = 60\n",
        "model": f'{PLAN}{MODEL}path = "nowhere"\n',
        "widths": f"{PLAN}{MODEL}train = {{ widths = [8, 8, 8, 8] }}\n",
        "training": f"""{PLAN}{MODEL}train = {{ widths = [8], conditioning = "nope" }}\n""",
        "trained": PLAN.replace('"xor2"', '"none"')
        + MODEL
        + 'train = { widths = [8], noise = { shuffle = { kind = "store", store = "array" } } }\n',
    }
    for name, text in plans.items():
        (folder / f"{name}.toml").write_text(text)
    return folder


SAMPLE = ["sample", "--images", "2", "--steps", "2", "--microbatch", "1"]
TRAIN = ["--dataset", "set.npz", "--widths", "8", "--steps", "2", "--batch", "2"]
COMPARE = ["--out", "new", "--store", "array=bits"]
SHARED = "xor2 would combine two bits of cell 0"

REFUSED = {
    "a page for a folder": (["assess", "bits.bin", "--page", "bits"], "bits is a folder"),
    "a page for the bits": (["assess", "bits.bin", "--page", "bits.bin"], "bits.bin exists and is no page"),
    "a page for a file": (["assess", "bits", "--page", "file"], "file exists and is no page"),
    "no bits of a sequence": (["assess", "bits.bin", "--sequence-bits", "0"], "takes 100 or more"),
    "sample below a file": ([*SAMPLE, "--store", "bits", "--out", "file/new"], "file is a file"),
    "sample of shared cells": ([*SAMPLE, "--store", "few", "--out", "new"], SHARED),
    "sample of no seed": ([*SAMPLE, "--source", "software", "--seed", "-1", "--out", "new"], "software seed"),
    "train below a file": (["train", "file/new", *TRAIN], "file is a file"),
    "train of shared cells": (["train", "new", *TRAIN, "--entropy-for", "diffusion=few"], SHARED),
    "replay below a file": (["replay", "a.png", "--save", "file/new"], "file is a file"),
    "export below a file": (
        ["store", "export", "bits", "--bits", "8", "--out", "file/new", "--yes"], "file is no folder"
    ),
    "export of a store below a file": (
        ["store", "export", "bits", "--buffer", "BUFFER", "--to-store", "file/new", "--yes"], "file is a file"
    ),
    "archive below a file": (
        ["store", "prune", "bits", "--burn-unspent", "--archive", "file/new", "--yes"], "file is a file"
    ),
    "compare below a file": (
        ["compare", "good.toml", "--store", "array=bits", "--out", "file/new"], "file is a file"
    ),
    "compare of shared cells": (["compare", "good.toml", "--out", "new", "--store", "array=few"], SHARED),
    "a training of shared cells": (["compare", "trained.toml", "--out", "new", "--store", "array=few"], SHARED),
    "a plan's scheduler": (["compare", "scheduler.toml", *COMPARE], "no scheduler 'nope'"),
    "a plan's eta": (["compare", "eta.toml", *COMPARE], "eta.toml, eta"),
    "a plan's pictures": (["compare", "pictures.toml", *COMPARE], "pictures.toml, pictures"),
    "a plan of unequal arms": (["compare", "unequal.toml", *COMPARE], "'array' has 60 pictures"),
    "a plan's model": (["compare", "model.toml", *COMPARE], "no checkpoint at nowhere"),
    "a plan's widths": (["compare", "widths.toml", *COMPARE], "multiple of 8, not 28"),
    "a plan's training": (["compare", "training.toml", *COMPARE], "no conditioning 'nope'"),
    "a plan's arm": (["compare", "good.toml", *COMPARE, "--only", "nobody"], "no arm 'nobody'"),
    "sample of no store": ([*SAMPLE, "--store", "typo", "--out", "new"], "typo is no store"),
    "train of no store": (["train", "new", *TRAIN, "--entropy", "typo"], "typo is no store"),
    "compare of no store": (["compare", "good.toml", "--out", "new", "--store", "array=typo"], "typo is no store"),
    "a demo's conditioning": (["demo", "--out", "new", "--conditioning", "rot13"], "no conditioning 'rot13'"),
    "a demo's bench": (["demo", "--out", "new", "--bench", "nowhere.toml"], "nowhere.toml"),
    "a demo's device": (["demo", "--out", "new", "--device", "Z"], "Z"),
    "a demo below a file": (["demo", "--out", "file/new"], "file is a file"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_is_spent_or_made(
    memtj_here: Callable, place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    arguments, said = REFUSED[name]
    with Store(place / "bits", read_only=True) as store:
        buffer = store.buffers()[0].uuid
    monkeypatch.chdir(place)
    before = content(place, but=".lock")
    done = memtj_here(*(buffer if word == "BUFFER" else word for word in arguments), status=1)
    assert said in done.sentence
    assert "unexpected" not in done.stderr
    assert content(place, but=".lock") == before
    for store in ("bits", "few"):
        with Store(place / store, read_only=True) as opened:
            assert opened.accounts().free == 1 << 18


@pytest.mark.parametrize(
    "arguments",
    [
        ["assess", "bits.bin", "--page", "page.html"],
        [*SAMPLE, "--store", "bits", "--out", "new"],
        ["train", "new", *TRAIN],
        ["compare", "good.toml", *COMPARE],
        ["demo", "--out", "new"],
    ],
)
def test_a_folder_that_cannot_be_written(
    memtj_here: Callable, place: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(place)
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode, **more: mode == os.R_OK and access(path, mode, **more)
    )
    done = memtj_here(*arguments, status=1)
    assert f"cannot be written ({place} is read-only)" in done.stderr


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "soon"])
@pytest.mark.parametrize("command", [[*SAMPLE, "--store", "bits", "--out", "new"], ["train", "new", *TRAIN]])
def test_a_wait_is_a_number_of_seconds(
    memtj_here: Callable, place: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], seconds: str
) -> None:
    monkeypatch.chdir(place)
    done = memtj_here(*command, "--wait", seconds, status=2)
    assert "no number of seconds" in done.errors
    assert not (place / "new").exists()


def test_a_page_is_replaced_by_a_page(memtj_here: Callable, place: Path, tmp_path: Path) -> None:
    from memtj._outputs import refuse_no_page

    (tmp_path / "page.html").write_text("<!DOCTYPE html>\n<p>old")
    refuse_no_page(tmp_path / "page.html")
    refuse_no_page(tmp_path / "new.html")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_store_that_cannot_be_written_is_assessed_and_not_credited(
    memtj_here: Callable, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    access, store = os.access, str(place / "bits")

    def read_only(path: object, mode: int, **more: bool) -> bool:
        return access(path, mode, **more) and not (str(path) == store and mode & os.W_OK)  # pyright: ignore

    monkeypatch.setattr(os, "access", read_only)
    before = content(place / "bits", but=".lock")
    done = memtj_here(
        "assess", store, "--quick", "--bits", "1e4", "--windows", "0", "--json", "--no-cells", status=0
    )
    assert f"memtj: note: {store} is read-only: its bits are assessed and not credited." in done.stderr
    assert content(place / "bits", but=".lock") == before

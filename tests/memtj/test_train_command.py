"""`memtj train`: bits of a store are billed, promised and leased by the stretch; killed, it goes on."""

import csv
import json
import re
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest

from entropy import Store
from entropy.testing import random_blocks, record_blocks, sound_accounts
from tests.memtj.conftest import posix_only

SMALL = ("--size", 8, "--widths", "8,16", "--batch", 4, "--threads", 1)


def store_of(path: Path, bits: int) -> Path:
    """A store of the operating system's bits: what a bench does has tests of its own."""
    pulses, cells = 64, 4096
    record_blocks(path, random_blocks(-(-bits // (pulses * cells)), pulses * cells // 8), cells=cells)
    return path


def few_pictures(folder: Path) -> Path:
    images = np.random.default_rng(3).integers(0, 256, (20, 12, 12, 3), np.uint8)
    np.savez(folder / "a.npz", images=images, labels=np.arange(20) % 3)
    return folder / "a.npz"


def rows(folder: Path) -> list[dict[str, str]]:
    if not (folder / "loss.csv").exists():
        return []
    with (folder / "loss.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_only_the_diffusion_noise_from_a_store(memtj_here: Callable, tmp_path: Path) -> None:
    store, out = store_of(tmp_path / "store", 200_000), tmp_path / "net"
    train = ("train", out, *SMALL, "--steps", 5, "--save-every", 2, "--entropy", "software:1")
    done = memtj_here(*train, "--entropy-for", f"diffusion={store}", "--conditioning", "xor3", status=0)
    assert "mean loss of the last 5 steps" in done.stdout.splitlines()[-1]
    noise = 5 * 4 * 64 * 32
    assert re.search(rf"diffusion +{noise:,} bits of noise = +{3 * noise:,} recorded bits", done.stdout)
    card = json.loads((out / "card.json").read_text())
    names, sources = card["entropy"]["names"], card["entropy"]["sources"]
    assert names["diffusion"]["recorded"] == card["bill"]["diffusion"]["recorded"] == 3 * noise
    assert sources[names["diffusion"]["source"]]["conditioning"] == "xor3"
    assert sources[names["weights"]["source"]]["seed"] == 1
    accounts = sound_accounts(store)
    assert (accounts.consumed, accounts.burned) == (3 * noise, 0)
    assert [int(row["recorded"]) for row in rows(out)] == [3 * noise * step // 5 for step in range(1, 6)]
    assert {"loss.png", "epochs.csv", "model.safetensors"} <= {item.name for item in out.iterdir()}
    # Its checkpoint draws pictures.
    done = memtj_here(
        "sample", "--source", "software", "--model", out, "--images", 1, "--steps", 2, "--out", tmp_path / "o",
        status=0,
    )  # fmt: skip


def test_pictures_of_ones_own_and_a_command_that_is_repeated(memtj_here: Callable, tmp_path: Path) -> None:
    options = (
        "--dropout", 0.1, "--layers", 2, "--rate", 1e-3, "--ema", 0.9, "--entropy-for", "dropout=os", "--json",
    )  # fmt: skip
    train = ("train", tmp_path / "net", *SMALL, "--steps", 3, "--dataset", few_pictures(tmp_path), *options)
    outcome = memtj_here(*train, status=0).json
    card = json.loads((tmp_path / "net" / "card.json").read_text())
    assert card["architecture"]["channels"] == card["architecture"]["labels"] == 3
    assert (card["data"]["name"], card["data"]["images"]) == ("a.npz", 20)
    assert outcome["bits"]["dropout"] > 0 == outcome["recorded"]
    assert "--resume" in memtj_here(*train, status=1).stderr
    assert memtj_here(*train, "--resume", status=0).json["sha256"] == outcome["sha256"]


WRONG = {
    "no such name": (("--entropy-for", "noise=os"), "no noise"),
    "no name": (("--entropy-for", "os"), "is not NAME=SOURCE"),
    "dropout without": (("--entropy-for", "dropout=os"), "goes with --dropout"),
    "no seed": (("--entropy", "software:x"), "has no seed"),
    "two seeds": (("--entropy", "software:1", "--seed", 2), "contradicts"),
    "seed of nothing": (("--entropy", "os", "--seed", 2), "goes with software noise"),
    "no store": (("--entropy", "nowhere"), "nowhere"),
    "wait for software": (("--wait", 3), "go with a store"),
    "widths": (("--widths", "8,x"), "is not a list of numbers"),
    "size": (("--size", 7), "multiple of 2"),
    "labels": (("--channels", 2), "1 channel"),
    "dropout": (("--dropout", 1.5), "dropout is a share"),
    "rate": (("--rate", 0), "learning rate"),
    "precision": (("--precision", "float8"), "float8"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_options_are_one_sentence(name: str, memtj_here: Callable, tmp_path: Path) -> None:
    options, words = WRONG[name]
    data = few_pictures(tmp_path)
    done = memtj_here("train", tmp_path / "net", *SMALL, "--steps", 2, "--dataset", data, *options, status=1)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "net").exists()


def test_a_lease_too_small_is_refused_at_once(memtj_here: Callable, tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", 200_000)
    data = few_pictures(tmp_path)
    done = memtj_here(
        "train", tmp_path / "net", *SMALL, "--steps", 9, "--dataset", data, "--entropy", store, status=1
    )
    assert "bits" in done.stderr
    with Store(store) as opened:
        assert opened.accounts().free == opened.accounts().recorded


def test_tensorboard_that_is_not_installed_is_one_sentence(
    memtj_here: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib import util

    found = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name, *a: None if name == "tensorboard" else found(name, *a)
    )
    done = memtj_here(
        "train", tmp_path / "net", *SMALL, "--steps", 2, "--dataset", few_pictures(tmp_path), "--tensorboard",
        status=1,
    )  # fmt: skip
    assert "pip install tensorboard" in done.stderr


def test_tensorboard_events_where_it_is_installed(memtj_here: Callable, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    memtj_here(
        "train", tmp_path / "net", *SMALL, "--steps", 2, "--dataset", few_pictures(tmp_path), "--tensorboard",
        status=0,
    )  # fmt: skip
    assert list((tmp_path / "net").glob("events.out.tfevents.*"))


def killed_at(process: "Popen[str]", out: Path, step: int, how: signal.Signals) -> int:
    """Send the signal once this process has made that step; give the exit status."""
    path = out / "loss.csv"
    before, deadline = path.stat().st_mtime_ns if path.exists() else 0, time.monotonic() + 200
    while process.poll() is None:
        assert time.monotonic() < deadline
        # What an earlier process left in the file says nothing about this one.
        if path.exists() and path.stat().st_mtime_ns > before and len(rows(out)) >= step:
            break
        time.sleep(0.005)
    process.send_signal(how)
    return process.wait(100)


@posix_only
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_command_that_is_killed_goes_on_where_it_was(
    memtj_here: Callable, start: Callable, tmp_path: Path
) -> None:
    """Software noise: the same SHA-256. Bits of a store: every one at most once, and all accounted for."""
    store, data = store_of(tmp_path / "store", 4_000_000), few_pictures(tmp_path)
    train = (*SMALL, "--dataset", data, "--steps", 40, "--save-every", 5, "--entropy", "software:5")
    seeded = ("train", tmp_path / "seeded", *train, "--resume")
    leased = ("train", tmp_path / "leased", *train, "--entropy-for", f"diffusion={store}", "--resume")
    assert killed_at(start(*seeded), tmp_path / "seeded", 7, signal.SIGTERM) == 143
    assert killed_at(start(*leased), tmp_path / "leased", 8, signal.SIGKILL) == -9
    assert killed_at(start(*leased), tmp_path / "leased", 23, signal.SIGINT) == 130
    whole, again, _ = (
        memtj_here(*command, "--json", status=0).json
        for command in (("train", tmp_path / "whole", *train), seeded, leased)
    )
    assert whole["sha256"] == again["sha256"]
    card = json.loads((tmp_path / "leased" / "card.json").read_text())
    own = card["entropy"]["names"]["diffusion"]
    ranges = sorted(card["entropy"]["sources"][own["source"]]["ranges"])
    assert sum(bits for _, _, bits in ranges) == own["recorded"] == 2 * 40 * 4 * 64 * 3 * 32
    assert all(a[0] != b[0] or a[1] + a[2] <= b[1] for a, b in pairwise(ranges))
    accounts = sound_accounts(store)
    stretch = 2 * 5 * 4 * 64 * 3 * 32
    # At most the stretch under way was burned each time, and a kill between state and lease burns what is in the card.
    assert accounts.burned in (0, stretch, 2 * stretch)
    assert own["recorded"] - accounts.burned <= accounts.consumed <= own["recorded"]


def test_a_dark_set_is_said(memtj_here: Callable, tmp_path: Path) -> None:
    np.savez(tmp_path / "dark.npz", images=np.full((4, 8, 8), 15, np.uint8))
    done = memtj_here(
        "train", tmp_path / "net", "--dataset", tmp_path / "dark.npz", "--widths", "8,x", status=1
    )
    note, error = done.stderr.splitlines()
    assert note.startswith(f"memtj: note: the brightest pixel of {tmp_path / 'dark.npz'} is 15 of 255")
    assert error.startswith("memtj: --widths")

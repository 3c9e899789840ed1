"""`memtj sample` and `memtj replay`: options, models of diffusers, interrupted runs, and what a user gets wrong."""

import json
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from entropy import Accounts, Store
from entropy.quality.health import HealthFlag
from entropy.testing import random_blocks, record_blocks, sound_accounts
from sampler import (
    Architecture,
    RunFolder,
    load_pixels,
    load_provenance,
)
from tests.conftest import missing
from tests.memtj.conftest import posix_only
from tests.sampler.conftest import save_untrained

BLOCK = 1 << 20
DRAWS = 4
EACH = 64 * DRAWS * 32 * 2  # recorded bits of a picture of FEW: pixels, draws, bits a normal, bits an XOR
FEW = ("--steps", 4, "--microbatch", 2, "--images", 6)


def fill(path: Path, blocks: int, health: int = 0) -> Path:
    record_blocks(path, random_blocks(blocks, BLOCK // 8), {"health": health}, cells=4096)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return fill(tmp_path / "bits", 1)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small untrained network of ours, of ten labels and 8 × 8 pixels."""
    size = Architecture(image_size=8, widths=(8, 16), norm_groups=4, attention_head=8)
    return save_untrained(tmp_path_factory.mktemp("models") / "tiny", size)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unconditional pipeline of diffusers, 8 × 8 pixels in three colours."""
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    folder = tmp_path_factory.mktemp("models") / "pipeline"
    with torch.random.fork_rng(devices=[]):
        unet = UNet2DModel(
            sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
            attention_head_dim=8,
        )  # fmt: skip
    DDIMPipeline(unet=unet, scheduler=DDIMScheduler()).save_pretrained(folder)
    return folder


def pictures(out: Path) -> dict[int, dict[str, Any]]:
    told = [load_provenance(path) for path in sorted((out / "pictures").glob("*.png"))]
    return {one["picture"]: one for one in told}


def duration(animation: Any) -> float:
    """Milliseconds of all frames; equal ones in a row are one to the file, which lasts as long."""
    each = []
    for number in range(animation.n_frames):
        animation.seek(number)
        each.append(animation.info["duration"])
    return sum(each)


def test_options_reach_the_pictures_the_bill_and_the_sheets(
    memtj_here: Callable, store: Path, tiny: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = memtj_here(
        "sample", "--store", store, "--model", tiny, "--out", out, "--images", 3, "--labels", "7,2", "--steps", 5,
        "--scheduler", "euler-ancestral", "--scheduler-option", "timestep_spacing=trailing",
        "--bits-per-normal", 4, "--microbatch", "auto", "--grid", 2, "--animate", "apng", status=0,
    )  # fmt: skip
    recorded = 3 * 64 * 6 * 4 * 2
    assert f"bill: 3 pictures × 64 pixels × 6 draws × 4 bits × 2 = {recorded:,} recorded bits" in done.stdout
    with Store(store) as opened:
        assert opened.accounts().consumed == recorded
    assert sorted(p.name for p in out.iterdir()) == ["images.apng", "images.png", "pictures", "run.json"]
    assert [p.name for p in sorted((out / "pictures").glob("*.png"))] == [
        "00000-7.png",
        "00001-2.png",
        "00002-7.png",
    ]
    sampling = pictures(out)[2]["sampling"]
    assert sampling["scheduler_options"] == {"timestep_spacing": "trailing"}
    assert (sampling["bits_per_normal"], sampling["microbatch"]) == (4, 3)
    with Image.open(out / "images.png") as sheet, Image.open(out / "images.apng") as animation:
        assert sheet.size == animation.size == (2 * 10 * 16, 2 * 10 * 16)
        assert duration(animation) == 5 * 100 + 2000
        told = json.loads(sheet.info["memtj-sheet"])
        assert told == json.loads(animation.info["memtj-sheet"])
        assert told["pictures_sha256"] == [one["picture_sha256"] for one in pictures(out).values()]
        animation.seek(animation.n_frames - 1)
        assert np.array_equal(np.asarray(animation.convert("L")), np.asarray(sheet))
    drawn = sorted((out / "pictures").glob("*.png"))
    done = memtj_here("replay", *drawn, "--store", store, "--model", tiny, status=0)
    assert done.stdout.count(": identical\n") == 3


def test_a_pipeline_of_diffusers(memtj_here: Callable, store: Path, pipeline: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ("sample", "--model", pipeline, "--store", store, "--images", 2, "--steps", 2, "--out", out)
    assert "takes none: leave it out" in memtj_here(*common, "--labels", "1", status=1).sentence
    done = memtj_here(*common, "--animate", "gif", "--json", status=0)
    assert done.json["bits"] == 2 * 3 * 64 * 32 * 2
    assert {p.name for p in (out / "pictures").glob("*.png")} == {"00000.png", "00001.png"}
    assert load_pixels(out / "pictures" / "00000.png").shape == (8, 8, 3)
    told = pictures(out)[1]
    assert (told["label"], told["sampling"]["scheduler"]) == (None, "DDIMScheduler")
    path = out / "pictures" / "00001.png"
    memtj_here("replay", path, "--store", store, "--model", pipeline, status=0)
    assert "8 × 8 pixels in 3 channel" in memtj_here("replay", path, "--store", store, status=1).sentence


def interrupted_run(
    memtj_here: Callable, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], after_saving: bool
) -> None:
    """Interrupt a run at its second microbatch, before its pictures are on the disk or after."""
    save, calls = RunFolder.save, []

    def interrupt(run: RunFolder, drawn: Any) -> None:
        calls.append(drawn)
        if len(calls) == 2 and not after_saving:
            raise KeyboardInterrupt
        save(run, drawn)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "save", interrupt)
        memtj_here(*arguments, status=130)
    assert len(calls) == 2


def check_no_bit_twice(store: Path, out: Path) -> Accounts:
    """Every picture has bits of its own, and all of them are spent; what is spent otherwise was burned."""
    told = pictures(out)
    spans = sorted(tuple(r) for one in told.values() for r in one["bits"]["ranges"])
    for (buffer, first, bits), (other, start, _) in pairwise(spans):
        assert buffer != other or first + bits <= start
    with Store(store) as opened:
        accounts = sound_accounts(opened)
        # All bits that are free could be had, and none of them is a picture's.
        with opened.lease(accounts.free, purpose="test") as lease:
            free = sorted(lease.ranges)
    for buffer, first, bits in spans:
        assert all(b != buffer or first + bits <= start or start + n <= first for b, start, n in free)
    return accounts


@pytest.mark.parametrize("after_saving", [pytest.param(False, marks=pytest.mark.slow), True])
def test_an_interrupted_run_is_gone_on_with(
    after_saving: bool,
    memtj_here: Callable,
    monkeypatch: pytest.MonkeyPatch,
    store: Path,
    tiny: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    arguments = ("sample", "--store", store, "--model", tiny, "--out", out, *FEW, "--animate", "apng")
    interrupted_run(memtj_here, monkeypatch, arguments, after_saving)
    before = pictures(out)
    assert sorted(before) == ([0, 1, 2, 3] if after_saving else [0, 1])
    # A picture whose JSON was not yet written, one that was damaged, and what a kill leaves of a third.
    (out / "pictures" / "00000-0.json").unlink()
    (out / "pictures" / "00001-1.png").write_bytes((out / "pictures" / "00001-1.png").read_bytes()[:-40])
    (out / "pictures" / ".00004-4.png.new").write_bytes(b"half")
    assert "go on with the run in it by --resume" in memtj_here(*arguments, status=1).sentence
    done = memtj_here(*arguments, "--resume", status=0)
    kept = {n: told for n, told in before.items() if n != 1}
    assert f"kept: {len(kept)} of 6 pictures" in done.stdout
    assert f"= {(6 - len(kept)) * EACH:,} recorded bits" in done.stdout
    after = pictures(out)
    assert sorted(after) == [0, 1, 2, 3, 4, 5]
    assert {n: after[n] for n in kept} == kept
    assert after[1]["bits"] != before[1]["bits"]
    assert json.loads((out / "pictures" / "00000-0.json").read_text()) == after[0]
    assert not list((out / "pictures").glob(".*"))
    # The interrupted microbatch is burned; the damaged picture's bits stay consumed.
    accounts = check_no_bit_twice(store, out)
    assert accounts.burned == 2 * EACH
    assert accounts.consumed == (2 + 6 - len(kept)) * EACH
    with Image.open(out / "images.apng") as animation:
        assert duration(animation) == 4 * 100 + 2000
    done = memtj_here(
        "replay", *sorted((out / "pictures").glob("*.png")), "--store", store, "--model", tiny, status=0
    )
    # Once more: nothing is left, no bit is taken, the sheets stay.
    sheets = [(out / name).read_bytes() for name in ("images.png", "images.apng")]
    done = memtj_here(*arguments, "--resume", status=0)
    assert "kept: 6 of 6" in done.stdout
    assert [(out / name).read_bytes() for name in ("images.png", "images.apng")] == sheets
    assert check_no_bit_twice(store, out) == accounts


def test_software_noise_goes_on_to_the_same_pictures(
    memtj_here: Callable, monkeypatch: pytest.MonkeyPatch, tiny: Path, tmp_path: Path
) -> None:
    common = ("sample", "--source", "software", "--seed", 5, "--model", tiny, *FEW, "--out")
    memtj_here(*common, tmp_path / "whole", status=0)
    interrupted_run(memtj_here, monkeypatch, (*common, tmp_path / "parts"), False)
    (tmp_path / "parts" / "pictures" / "00000-0.png").unlink()
    memtj_here(*common, tmp_path / "parts", "--resume", status=0)
    whole, parts = pictures(tmp_path / "whole"), pictures(tmp_path / "parts")
    assert len(whole) == 6
    assert whole == parts


def test_other_settings_than_the_run_was_begun_with_are_named(
    memtj_here: Callable, tiny: Path, pipeline: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / ".run.json.new").write_text("{half")  # killed at the very beginning
    common = ("sample", "--source", "software", "--model", tiny, "--out", out, "--images", 2, "--resume")
    memtj_here(*common, "--steps", 2, "--microbatch", "auto", status=0)
    memtj_here(*common, "--steps", 2, "--microbatch", "auto", status=0)
    said = memtj_here(
        *common, "--steps", 3, "--microbatch", 7, "--seed", 4, "--scheduler", "ddim", status=1
    ).sentence
    changes = (
        "scheduler ddpm then, ddim now",
        "steps 2 then, 3 now",
        "microbatch 2 then, 7 now",
        "seed 0 then, 4",
    )
    assert missing(said, *changes) == []
    done = memtj_here(
        *common[:3], "--model", pipeline, *common[5:], "--steps", 2, "--microbatch", 2, status=1
    )
    assert re.search(r"model [0-9a-f]+… then, [0-9a-f]+… now", done.sentence)
    said = memtj_here(*common, "--steps", 2, "--microbatch", 2, "--animate", "gif", status=1).sentence
    assert missing(said, "2 pictures", "without --animate") == []
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "notes.txt").touch()
    assert "holds no run.json" in memtj_here(*common[:5], "--out", foreign, *common[7:], status=1).sentence
    (foreign / "run.json").write_text('{"format": "else"}')
    assert (
        "not of a run of this memtj"
        in memtj_here(*common[:5], "--out", foreign, *common[7:], status=1).sentence
    )


def test_a_replay_says_what_is_wrong_with_a_picture(memtj_here: Callable, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ("sample", "--source", "software", "--model", tiny, "--out", out, *FEW)
    memtj_here(*common, status=0)
    first, second, third, *_ = sorted((out / "pictures").glob("*.png"))
    with Image.open(first) as image:
        shown, text = np.asarray(image).copy(), image.info["memtj"]
    shown[2, 2] ^= 8
    info = PngInfo()
    info.add_text("memtj", text)
    Image.fromarray(shown).save(first, pnginfo=info)
    told = json.loads(text)
    other = out / "pictures" / "other.json"
    other.write_text(json.dumps({**told, "bits": {**told["bits"], "seed": 9}}))
    shutil.copy(second, other.with_suffix(".png"))
    done = memtj_here("replay", first, second, other, "--model", tiny, "--save", tmp_path / "again", status=1)
    lines = done.stdout.splitlines()
    altered = "ALTERED (what its provenance says was drawn again, and 1 of its 64 pixels were changed since)"
    assert altered in lines[0]
    assert lines[1] == f"{second}: identical"
    different = ("DIFFERENT", "of 64 pixels differ, by at most", "these are other bits")
    assert missing(lines[2], *different) == []
    assert {p.name for p in (tmp_path / "again").glob("*.png")} == {
        f"{stem}-{what}.png" for stem in ("00000-0", "00001-1", "other") for what in ("again", "difference")
    }
    difference = load_pixels(tmp_path / "again" / "00000-0-difference.png")
    assert sorted(np.unique(difference)) == [0, 255]
    (one,) = memtj_here("replay", third, "--model", tiny, "--json").json["pictures"]
    assert (one["identical"], one["differing_pixels"], one["altered"]) == (True, 0, False)


def test_bits_that_are_gone_do_not_stop_the_other_replays(
    memtj_here: Callable, store: Path, tiny: Path, tmp_path: Path
) -> None:
    common = ("--model", tiny, "--images", 1, "--steps", 2, "--microbatch", 1)
    memtj_here("sample", "--store", store, *common, "--out", tmp_path / "a", status=0)
    memtj_here("sample", "--source", "software", *common, "--out", tmp_path / "b", status=0)
    memtj_here("store", "prune", store, "--burn-unspent", "--yes", status=0)
    paths = [next((tmp_path / name / "pictures").glob("*.png")) for name in ("a", "b")]
    done = memtj_here("replay", *paths, "--store", store, "--model", tiny, status=1)
    assert "deleted by 'memtj store prune'" in done.sentence
    assert missing(done.stdout, "NOT DRAWN AGAIN", f"{paths[1]}: identical") == []


def test_wrong_wishes_are_one_sentence(memtj_here: Callable, store: Path, tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    common = ("sample", "--store", store, "--model", tiny, "--out", out, "--images", 1, "--steps", 2)
    (tmp_path / "empty").mkdir()
    cases: dict[str, tuple[object, ...]] = {
        "32, 16, 12, 8, 4, 2 or 1 bits, not 3": ("--bits-per-normal", 3),
        "a floor leaves out flips of the binary process": ("--floor", 0.01),
        "it knows beta_end": ("--scheduler-option", "beta=1"),
        "Brownian tree": ("--scheduler", "DPMSolverSDEScheduler"),
        "neither a number": ("--microbatch", "many"),
        "draws labels 0 to 9": ("--labels", "12,3"),
        "is not a list of labels": ("--labels", "three"),
        "is not a model": ("--model", tmp_path / "empty"),
    }
    for part, options in cases.items():
        assert part in memtj_here(*common, *options, status=1).sentence
    chosen = memtj_here(*common, "--animate", "mp4", status=2)
    assert re.search("'mp4' is not one of.*'gif'.*'apng'", chosen.stderr, re.S)
    assert not out.exists()
    with Store(store) as opened:
        assert opened.accounts().free == BLOCK


def test_withheld_bits_are_named_with_their_reason(memtj_here: Callable, tiny: Path, tmp_path: Path) -> None:
    flags = int(HealthFlag.STREAM_REPETITION | HealthFlag.CELL_PROPORTION)
    store = fill(tmp_path / "sick", 2, health=flags)
    done = memtj_here("sample", "--store", store, "--model", tiny, "--out", tmp_path / "out", *FEW, status=1)
    bits = (f"{6 * EACH:,} bits were wanted and 0 are free", f"{2 * BLOCK:,} more are withheld")
    why = "health tests in 2 blocks (stream repetition, cell proportion)"
    assert missing(done.sentence, *bits, why, "memtj assess") == []
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.timeout(600)
@posix_only
def test_a_run_that_is_killed_again_and_again_uses_no_bit_twice(
    start: Callable,
    end: Callable,
    memtj: Callable,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    images, microbatch, steps = 20, 2, 60
    each = 64 * steps * 32 * 2
    store = fill(tmp_path / "bits", images * each // BLOCK + 3)
    out = tmp_path / "out"
    arguments = (
        "sample", "--store", store, "--model", tiny, "--out", out, "--images", images, "--steps", steps,
        "--microbatch", microbatch, "--resume",
    )  # fmt: skip
    seen: dict[int, dict[str, Any]] = {}
    for number in (signal.SIGKILL, signal.SIGTERM):
        process: subprocess.Popen[str] = start(*arguments)
        deadline = time.monotonic() + 200
        while len(list((out / "pictures").glob("*.json"))) < len(seen) + 3 and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        end(process, number, status=143 if number == signal.SIGTERM else -9)
        now = pictures(out)
        assert len(now) > len(seen)
        assert {n: now[n] for n in seen} == seen
        seen = now
    assert len(seen) < images, "the run ended before it was killed for the last time"
    done = memtj(*arguments, timeout=200, status=0)
    assert f"kept: {len(seen)} of {images}" in done.stdout
    after = pictures(out)
    assert sorted(after) == list(range(images))
    assert {n: after[n] for n in seen} == seen
    accounts = check_no_bit_twice(store, out)
    # Each killed process had one microbatch's lease at most; its pictures may have been on the disk already.
    assert accounts.burned % (microbatch * each) == 0
    assert accounts.burned <= 2 * microbatch * each
    assert accounts.consumed <= images * each <= accounts.consumed + accounts.burned
    some = [out / "pictures" / f"{n:05d}-{n % 10}.png" for n in (0, len(seen) - 1, images - 1)]
    done = memtj("replay", *some, "--store", store, "--model", tiny, timeout=200, status=0)


@pytest.mark.slow
@posix_only
def test_a_second_run_is_kept_out_of_the_folder(
    memtj_here: Callable,
    start: Callable[..., "subprocess.Popen[str]"],
    wait_until: Callable,
    tiny: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    common = (
        "sample",
        "--source",
        "software",
        "--model",
        tiny,
        "--out",
        out,
        "--images",
        4,
        "--microbatch",
        1,
    )
    process = start(*common, "--steps", 60)
    first = out / "pictures" / "00000-0.png"
    wait_until(lambda: first.exists() or process.poll() is not None, 60, "no picture is drawn")
    assert process.poll() is None
    process.send_signal(signal.SIGSTOP)
    assert (
        "another memtj sample is at work in"
        in memtj_here(*common, "--steps", 60, "--resume", status=1).sentence
    )
    process.kill()
    process.wait()
    # The lock's file is still there, and nobody holds it.
    done = memtj_here(*common, "--steps", 60, "--resume", status=0)
    assert "kept: " in done.stdout
    assert {path.name for path in out.iterdir()} == {"run.json", "pictures", "images.png"}

"""Animations and sheets: the frames that were given, and what they say of themselves."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampler import SamplerError, contact_sheet, load_provenance, save_animation, save_sheet, traced_steps

FRAMES = [np.full((6, 8), shade, np.uint8) for shade in (10, 90, 200)]
TOLD = {"format": "memtj-sheet", "settings": {"steps": 2}}


def test_the_steps_of_an_animation_are_even_and_hold_both_ends() -> None:
    assert traced_steps(4) == [0, 1, 2, 3, 4]
    assert traced_steps(100, 6) == [0, 20, 40, 60, 80, 100]
    for steps in range(1, 130):
        shown = traced_steps(steps)
        assert (shown[0], shown[-1]) == (0, steps)
        assert len(shown) <= 25
    with pytest.raises(SamplerError):
        traced_steps(5, 1)


@pytest.mark.parametrize("kind", ["gif", "apng"])
@pytest.mark.parametrize("colour", [False, True])
def test_animations_hold_their_frames_and_provenance(kind: str, colour: bool, tmp_path: Path) -> None:
    frames = [np.stack([f, f // 2, f // 3], axis=2) for f in FRAMES] if colour else FRAMES
    with Image.open(save_animation(frames, tmp_path / f"all.{kind}", TOLD)) as image:
        told = image.info["comment"].decode() if kind == "gif" else image.info["memtj-sheet"]
        assert json.loads(told) == TOLD
        assert (image.n_frames, image.info["loop"]) == (3, 0)
        durations = []
        for number, frame in enumerate(frames):
            image.seek(number)
            durations.append(image.info["duration"])
            shown = np.asarray(image.convert("RGB" if colour else "L"))
            assert np.abs(shown.astype(int) - frame).max() <= (8 if kind == "gif" and colour else 0)
    assert durations[-1] > 5 * durations[0]
    assert [p.name for p in tmp_path.iterdir()] == [f"all.{kind}"]


def test_wrong_animations_are_one_sentence(tmp_path: Path) -> None:
    for frames, name, words in (
        (FRAMES, "a.mp4", r"gif or apng file, not a\.mp4"),
        ([], "a.gif", "at least one frame"),
    ):
        with pytest.raises(SamplerError, match=words):
            save_animation(frames, tmp_path / name)


def test_a_sheet_has_its_columns_and_is_not_taken_for_a_picture(tmp_path: Path) -> None:
    shown = [np.full((6, 8), number, np.uint8) for number in range(5)]
    sheet = contact_sheet(shown, columns=2, scale=1)
    assert sheet.shape == (3 * 8, 2 * 10)
    assert (sheet[1, 1], sheet[17, 1]) == (0, 4)
    assert contact_sheet(shown, columns=10, scale=3).shape == (24, 150)
    path = save_sheet(shown, tmp_path / "sheet.png", 2, 1, provenance=TOLD)
    with Image.open(path) as image:
        assert json.loads(image.info["memtj-sheet"]) == TOLD
    with pytest.raises(SamplerError, match=r"sheet\.png is a sheet of several pictures"):
        load_provenance(path)
    for pictures, columns in (([], 2), (shown, 0)):
        with pytest.raises(SamplerError):
            contact_sheet(pictures, columns)

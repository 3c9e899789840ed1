"""Data sets: folders and arrays of many kinds, and one sentence for what is wrong with them."""

import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from entropy.arguments import RefusedArgument
from sampler import (
    DataSet,
    SamplerError,
    TrainSettings,
    architecture_of_widths,
    load_data,
    load_digits,
    train,
)

GREY = np.arange(144, dtype=np.uint8).reshape(12, 12)
COLOURED = np.stack([GREY, GREY[::-1], GREY[:, ::-1]], axis=-1)


def save(folder: Path, name: str, picture: Image.Image | None = None) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(GREY) if picture is None else picture).save(file)


def test_the_digits_are_as_they_ship() -> None:
    data, digits = load_data(), load_digits()
    assert np.array_equal(data.images, digits.images)
    assert np.array_equal(data.labels, digits.labels)
    assert (data.sha256, len(data), data.size, data.channels, data.label_count) == (
        digits.sha256, 10_000, 28, 1, 10,
    )  # fmt: skip


def test_sub_folders_are_labels_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for label in ("10", "9", "1"):
        save(tmp_path, f"{label}/a.png")
    save(tmp_path, "9/deeper/b.bmp")
    (tmp_path / "README.txt").write_text("not a picture")
    (tmp_path / "1" / ".hidden.png").write_text("not a picture")
    data = load_data(tmp_path)
    assert data.label_names == ("1", "9", "10")
    assert data.labels.tolist() == [0, 1, 1, 2]
    assert (data.size, data.channels) == (12, 1)
    assert np.array_equal(data.images[0], GREY)


def test_a_flat_folder_has_one_label_and_a_digest_that_sha256sum_gives(tmp_path: Path) -> None:
    folder = tmp_path / "flowers"
    save(folder, "b.png")
    save(folder, "a.png", Image.fromarray(COLOURED))
    data = load_data(folder, size=6)
    assert (data.label_names, data.labels.tolist()) == (("flowers",), [0, 0])
    assert data.images.shape == (2, 6, 6, 3)
    assert data.tensor().shape == (2, 3, 6, 6)
    sums = subprocess.run(["sha256sum", "a.png", "b.png"], cwd=folder, capture_output=True, check=True)
    assert data.sha256 == hashlib.sha256(sums.stdout).hexdigest()
    # Shrinking by two averages over 2 × 2 pixels.
    mean = GREY.reshape(6, 2, 6, 2).mean(axis=(1, 3))
    assert np.abs(load_data(folder, size=6, channels=1).images[1] - mean).max() <= 0.5


MODES: dict[str, Callable[[], Image.Image]] = {
    "1": lambda: Image.fromarray(GREY > 70),
    "LA": lambda: Image.fromarray(GREY).convert("LA"),
    "P": lambda: Image.fromarray(COLOURED).quantize(16),
    "RGBA": lambda: Image.fromarray(COLOURED).convert("RGBA"),
    "I;16": lambda: Image.fromarray(GREY.astype(np.uint16) * 256 + 7),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_any_mode(mode: str, channels: int, tmp_path: Path) -> None:
    save(tmp_path, "a.png", MODES[mode]())
    data = load_data(tmp_path, channels=channels)
    assert data.channels == channels
    wanted = {"1": (GREY > 70) * 255, "LA": GREY, "I;16": GREY}.get(mode)
    if wanted is not None:
        assert np.array_equal(data.images[0] if channels == 1 else data.images[0][..., 1], wanted)


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    save(tmp_path, "a.png", Image.new("RGBA", (4, 4), (0, 0, 0, 0)))
    assert load_data(tmp_path, channels=1).images.min() == 255


def test_oblong_pictures_give_their_central_square(tmp_path: Path) -> None:
    save(tmp_path, "a.png", Image.fromarray(GREY[2:10]))
    with pytest.raises(SamplerError, match="not squares"):
        load_data(tmp_path)
    assert np.array_equal(load_data(tmp_path, size=8).images[0], GREY[2:10, 2:10])


def test_arrays_with_and_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, images=np.stack([COLOURED] * 3), labels=np.array([4, 0, 1], np.uint8))
    data = load_data(path)
    assert (data.channels, data.label_count, data.labels.tolist()) == (3, 5, [4, 0, 1])
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.savez(path, images=GREY[None])
    assert load_data(path).label_count == 1
    assert load_data(path, channels=3, size=24).images.shape == (1, 24, 24, 3)


def broken(folder: Path) -> None:
    save(folder, "a.png")
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes()[:50])


def beside(folder: Path) -> None:
    save(folder, "a.png")
    save(folder, "cats/b.png")


def sizes(folder: Path) -> None:
    save(folder, "a.png")
    save(folder, "b.png", Image.fromarray(GREY[:8, :8]))


WRONG_FOLDERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda f: None, "holds no pictures"),
    "no pictures": (lambda f: (f / "a.txt").write_text("a"), "holds no pictures"),
    "unreadable": (broken, r"b\.png cannot be read"),
    "text": (lambda f: (f / "a.jpg").write_text("a"), r"a\.jpg cannot be read"),
    "mixed": (beside, "beside folders of pictures"),
    "sizes": (sizes, "not squares of one size"),
}


@pytest.mark.parametrize("name", WRONG_FOLDERS)
def test_wrong_folders_are_one_sentence(name: str, tmp_path: Path) -> None:
    harm, words = WRONG_FOLDERS[name]
    harm(tmp_path)
    with pytest.raises(SamplerError, match=words) as raised:
        load_data(tmp_path)
    assert "\n" not in str(raised.value)


IMAGES = np.stack([GREY] * 3)
WRONG_ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no images": ({"labels": [1]}, "no array named images"),
    "floats": ({"images": IMAGES / 255}, "float64 of shape"),
    "shape": ({"images": GREY}, r"uint8 of shape \(12, 12\)"),
    "channels": ({"images": np.zeros((3, 4, 4, 2), np.uint8)}, r"shape \(3, 4, 4, 2\)"),
    "none": ({"images": IMAGES[:0]}, "is empty"),
    "labels of another number": ({"images": IMAGES, "labels": [1, 2]}, r"shape \(3,\)"),
    "labels that are floats": ({"images": IMAGES, "labels": [0.5, 1, 2]}, "whole numbers"),
    "negative labels": ({"images": IMAGES, "labels": [-1, 1, 2]}, "from 0 to 4095"),
    "objects": ({"images": np.array([GREY, None], object)}, "cannot be read"),
    "oblong": ({"images": IMAGES[:, :8]}, "no squares"),
}


@pytest.mark.parametrize("name", WRONG_ARRAYS)
def test_wrong_arrays_are_one_sentence(name: str, tmp_path: Path) -> None:
    arrays, words = WRONG_ARRAYS[name]
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(SamplerError, match=words) as raised:
        load_data(tmp_path / "a.npz")
    assert "\n" not in str(raised.value)


def test_what_is_no_data_set_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"\x80pickle")
    for dataset, words in (
        ("letters", "no data set"), (tmp_path / "a.npz", "cannot be read"), (tmp_path / "b.npz", "no data set"),
    ):  # fmt: skip
        with pytest.raises(SamplerError, match=words):
            load_data(dataset)
    for wrong in ({"channels": 2}, {"size": 0}):
        with pytest.raises(SamplerError):
            load_data(**wrong)


def test_a_network_that_does_not_fit_its_data_is_one_sentence(settings: TrainSettings, data: DataSet) -> None:
    tiny = settings.architecture
    for architecture, words in (
        (replace(tiny, labels=2), "3 labels and the network 2"),
        (replace(tiny, image_size=16), "8 pixels"),
        (replace(tiny, channels=3), "1 channels"),
        (replace(tiny, image_size=9), "multiple of 2"),
        (replace(tiny, dropout=1.0), "dropout"),
        (replace(tiny, widths=(8, 15)), "no network can be built"),
    ):
        with pytest.raises(SamplerError, match=words) as raised:
            train(replace(settings, architecture=architecture), data=data)
        assert "\n" not in str(raised.value)
        assert not settings.out.exists()


def test_senseless_numbers_are_one_sentence(settings: TrainSettings, data: DataSet) -> None:
    for name, value in (
        ("steps", 0), ("batch", 0), ("peak_rate", 0.0), ("peak_rate", float("nan")), ("ema", 1.0),
        ("precision", "float8"), ("checkpoint_every", 0),
    ):  # fmt: skip
        with pytest.raises((SamplerError, RefusedArgument)):
            train(replace(settings, **{name: value}), data=data)
    for widths in ([], [0, 8], [-8]):
        with pytest.raises(SamplerError, match="one or more widths"):
            architecture_of_widths(widths)


def test_groups_and_heads_fit_the_widths() -> None:
    a = architecture_of_widths([16, 24, 32])
    assert (a.norm_groups, a.attention_head) == (8, 32)
    assert architecture_of_widths([32, 48, 64]).norm_groups == 16
    assert architecture_of_widths([12]).attention_head == 4


# --- pictures as other people have them


def split(folder: Path) -> None:
    for name in ("test/0/a.png", "train/0/a.png", "train/1/a.png", "train/1/b.png"):
        save(folder, name)


def unlabelled_parts(folder: Path) -> None:
    for name in ("Test/a.png", "Train/a.png", "Train/b.png"):
        save(folder, name)


def frames(folder: Path, name: str) -> None:
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    pages[0].save(folder / name, save_all=True, append_images=pages[1:])


OTHER_PEOPLES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "parts with labels": (split, r"test is not a label.*: name .*train as the data set"),
    "parts": (unlabelled_parts, r"Test, Train in .* are parts of a data set, not labels: name one .* \S*Train$"),
    "an archive's own folder": (lambda f: save(f, "set/0/a.png"), r"set is not a label.*: name .*set as the data set"),
    "floats": (lambda f: save(f, "a.tif", Image.fromarray(GREY / np.float32(143))), r"a\.tif .*floating-point"),
    "8 bits in 32": (lambda f: save(f, "a.tif", Image.fromarray(GREY.astype(np.int32))), r"a\.tif .*8 bits in numbers"),
    "more than 16": (lambda f: save(f, "a.tif", Image.fromarray(GREY.astype(np.int32) * 600)), "do not fit 16 bits"),
    "an animated GIF": (lambda f: frames(f, "a.gif"), r"a\.gif .*holds 2 pictures"),
    "an animated PNG": (lambda f: frames(f, "a.png"), r"a\.png .*holds 2 pictures"),
    "a TIFF of pages": (lambda f: frames(f, "a.tif"), r"a\.tif .*holds 2 pictures"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHER_PEOPLES)
def test_pictures_that_would_be_taken_for_something_else_are_refused(name: str, tmp_path: Path) -> None:
    make, words = OTHER_PEOPLES[name]
    make(tmp_path)
    with pytest.raises(SamplerError, match=words) as raised:
        load_data(tmp_path)
    assert "\n" not in str(raised.value)


def test_one_part_of_a_split_set_has_its_labels(tmp_path: Path) -> None:
    split(tmp_path)
    assert load_data(tmp_path / "train").label_names == ("0", "1")
    save(tmp_path / "vehicles", "train/a.png")
    save(tmp_path / "vehicles", "bus/a.png")
    assert load_data(tmp_path / "vehicles").label_names == ("bus", "train")


@pytest.mark.parametrize("names", [("train_images", "train_labels"), ("x_train", "y_train"), ("arr_0",), ()])
def test_arrays_of_other_names_are_named(names: tuple[str, ...], tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, IMAGES))  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        SamplerError, match=f"no array named images: it has {', '.join(names) or 'none'}; save"
    ):
        load_data(tmp_path / "a.npz")


def test_arrays_with_an_axis_of_one_are_what_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=IMAGES[..., None], labels=np.array([[2], [0], [1]]))
    data = load_data(tmp_path / "a.npz")
    assert np.array_equal(data.images, IMAGES)
    assert data.labels.tolist() == [2, 0, 1]
    for images, words in ((COLOURED.transpose(2, 0, 1)[None], "moveaxis"), (IMAGES / 255, "from 0 to 255")):
        np.savez(tmp_path / "b.npz", images=images)
        with pytest.raises(SamplerError, match=words):
            load_data(tmp_path / "b.npz")


def test_a_set_without_a_bright_pixel_is_said(tmp_path: Path) -> None:
    save(tmp_path / "twelve", "a.png", Image.fromarray(GREY.astype(np.uint16) * 28))  # up to 4,004 of 4,095
    np.savez(tmp_path / "dark.npz", images=IMAGES // 3)
    for dataset, brightest in ((tmp_path / "twelve", 15), (tmp_path / "dark.npz", 47)):
        with pytest.warns(UserWarning, match=rf"brightest pixel of .* is {brightest} of 255"):
            assert load_data(dataset).images.max() == brightest


def test_pictures_that_are_left_out_are_said(tmp_path: Path) -> None:
    save(tmp_path, "0/a.png")
    (tmp_path / "0" / "b.HEIC").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"1 files of .* are left out, b\.HEIC for one"):
        assert len(load_data(tmp_path)) == 1


def test_pictures_of_cameras_are_upright_and_printers_colours_are_seen(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[0x0112] = 3  # upside down
    file = tmp_path / "turned" / "a.png"
    file.parent.mkdir()
    Image.fromarray(GREY).save(file, exif=turned)
    assert np.array_equal(load_data(file.parent).images[0], GREY[::-1, ::-1])
    save(tmp_path / "cmyk", "a.tif", Image.new("CMYK", (4, 4), (255, 0, 0, 0)))
    assert load_data(tmp_path / "cmyk").images[0, 0, 0].tolist() == [0, 255, 255]
    save(tmp_path / "grey", "a.tif", Image.fromarray(GREY.astype(np.int32) * 257))
    assert np.array_equal(load_data(tmp_path / "grey").images[0], GREY)

"""A folder of pictures as a data set."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sampler._errors import DataSetWarning, SamplerError
from sampler.training._pixels import GREY_MODES, fit_picture, refuse_unfit

SUFFIXES = frozenset(
    (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pbm", ".pgm", ".ppm")
)
# Pictures, too, but not for us: that they are left out is said.
_OTHERS = frozenset(
    (".heic", ".heif", ".avif", ".jp2", ".dcm", ".dng", ".raw", ".psd", ".svg", ".npy", ".mat")
)
_PARTS = frozenset(("train", "training", "test", "testing", "val", "valid", "validation", "dev", "eval"))

Loaded = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...], str]


def load_folder(folder: Path, size: int | None, channels: int | None) -> Loaded:
    """Load the pictures below `folder`: images, labels, the labels' names, SHA-256.

    The SHA-256 is that of the lines "<SHA-256 of the file>  <path below the folder>", sorted by path: what
    `sha256sum` prints of them. Raises SamplerError where the folder holds none, or one that cannot be read.
    """
    files, labels, names = _labelled(folder)
    _tell_left_out(folder)
    kinds = [_look(file) for file in files]
    if size is None:
        sizes = {extent for _, extent in kinds}
        if len(sizes) > 1 or len(set(next(iter(sizes)))) > 1:
            raise SamplerError(
                f"the pictures of {folder} are not squares of one size: say by size how large the network's are"
            )
        size = next(iter(sizes))[0]
    if channels is None:
        channels = 1 if all(mode in GREY_MODES for mode, _ in kinds) else 3
    images = np.stack([_read(file, size, channels) for file in files])
    return images, np.array(labels, np.int64), names, _digest(folder, files)


def _labelled(folder: Path) -> tuple[list[Path], list[int], tuple[str, ...]]:
    inside = sorted(item for item in folder.iterdir() if not item.name.startswith("."))
    flat = [item for item in inside if _is_picture(item)]
    below = {item.name: sorted(filter(_is_picture, item.rglob("*"))) for item in inside if item.is_dir()}
    below = {name: files for name, files in below.items() if files}
    if flat and below:
        raise SamplerError(
            f"{folder} holds pictures ({flat[0].name} …) beside folders of pictures ({next(iter(below))} …): "
            "put every picture into the folder of its label, or all into one"
        )
    if not flat and not below:
        raise SamplerError(f"{folder} holds no pictures ({', '.join(sorted(SUFFIXES))})")
    if flat:
        return flat, [0] * len(flat), (folder.resolve().name,)
    _refuse_parts(folder, below)
    names = sorted(below, key=int) if all(name.isdecimal() for name in below) else sorted(below)
    files = [file for name in names for file in below[name]]
    return files, [label for label, name in enumerate(names) for _ in below[name]], tuple(names)


def _refuse_parts(folder: Path, below: dict[str, list[Path]]) -> None:
    """Raise SamplerError where the folders in `folder` are no labels, but parts of a set, or hold the labels."""
    largest = folder / max(below, key=lambda name: len(below[name]))
    for name, files in below.items():
        if all(file.parent != folder / name for file in files):
            raise SamplerError(
                f"{folder / name} is not a label, because it holds folders of pictures: name {largest} as the data set "
                "if those are the labels, or put the pictures right into the folder of their label"
            )
    if {name.lower() for name in below} <= _PARTS:
        raise SamplerError(
            f"{', '.join(below)} in {folder} are parts of a data set, not labels: name one of them, such as {largest}"
        )


def _tell_left_out(folder: Path) -> None:
    others = [item for item in folder.rglob("*") if item.suffix.lower() in _OTHERS]
    if others:
        warnings.warn(
            f"{len(others):,} files of {folder} are left out, {others[0].name} for one: save them as PNG to have them "
            "in the data set",
            DataSetWarning,
            stacklevel=4,
        )


def _is_picture(item: Path) -> bool:
    return item.suffix.lower() in SUFFIXES and not item.name.startswith(".") and item.is_file()


def _look(file: Path) -> tuple[str, tuple[int, int]]:
    from PIL import Image

    try:
        with Image.open(file) as picture:
            refuse_unfit(picture)
            return picture.mode, picture.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error


def _read(file: Path, size: int, channels: int) -> npt.NDArray[np.uint8]:
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings():
            # What Pillow warns of (odd metadata, large pictures) does not keep the pixels from being read.
            warnings.simplefilter("ignore")
            with Image.open(file) as picture:
                return fit_picture(ImageOps.exif_transpose(picture), size, channels)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> SamplerError:
    return SamplerError(
        f"the picture {file} cannot be read: {error}; repair it or take it out of the data set"
    )


def _digest(folder: Path, files: Sequence[Path]) -> str:
    whole = hashlib.sha256()
    for path, file in sorted((file.relative_to(folder).as_posix(), file) for file in files):
        one = hashlib.sha256(file.read_bytes()).hexdigest()
        whole.update(f"{one}  {path}\n".encode())
    return whole.hexdigest()

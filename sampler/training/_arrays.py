"""The arrays of an npz file as a data set."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError
from sampler.training._pixels import fit_arrays


def load_arrays(
    path: Path, size: int | None, channels: int | None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], tuple[str, ...], str]:
    """Load `images` and `labels` of an npz file: images, labels, the labels' names, the file's SHA-256.

    Nothing in the file is unpickled. Raises SamplerError that says what is wrong with which array.
    """
    raw = path.read_bytes()
    found, names = _arrays(path)
    if "images" not in found:
        raise SamplerError(
            f"{path} holds no array named images: it has {', '.join(names) or 'none'}; save those to train on under "
            "these names: numpy.savez(FILE, images=…, labels=…)"
        )
    images = _images(path, found["images"])
    labels = _labels(path, found.get("labels", np.zeros(len(images), np.int64)), len(images))
    if size is None and images.shape[1] != images.shape[2]:
        raise SamplerError(
            f"the images of {path} are {images.shape[1]} × {images.shape[2]} pixels, no squares: say by size how large "
            "the network's are"
        )
    size = int(images.shape[1]) if size is None else size
    channels = channels or (3 if images.ndim == 4 else 1)
    names = tuple(str(label) for label in range(int(labels.max()) + 1))
    return fit_arrays(images, size, channels), labels, names, hashlib.sha256(raw).hexdigest()


def _arrays(path: Path) -> tuple[dict[str, npt.NDArray[np.generic]], list[str]]:
    """Give the arrays that are asked for, and the names of all that are there."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files if name in ("images", "labels")}, file.files
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise SamplerError(f"{path} cannot be read as an npz file of plain arrays: {error}") from error


def _images(path: Path, images: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    coloured = images.ndim == 4 and images.shape[3] == 3
    if images.dtype != np.uint8 or not (images.ndim == 3 or coloured):
        turned = images.ndim == 4 and images.shape[1] in (1, 3)
        hint = "; turn it, by numpy.moveaxis(images, 1, -1)" if turned else ""
        hint += "; scale its values to whole numbers from 0 to 255" if images.dtype != np.uint8 else ""
        raise SamplerError(
            f"images in {path} is {images.dtype} of shape {images.shape}: it must be uint8 of shape (n, height, width) "
            f"or (n, height, width, 3){hint}"
        )
    if 0 in images.shape:
        raise SamplerError(f"images in {path} is empty: its shape is {images.shape}")
    return images.astype(np.uint8, copy=False)


def _labels(path: Path, labels: npt.NDArray[np.generic], count: int) -> npt.NDArray[np.int64]:
    if labels.shape == (count, 1):  # as MedMNIST and Keras have them
        labels = labels[:, 0]
    if labels.shape != (count,) or labels.dtype.kind not in "ui":
        raise SamplerError(
            f"labels in {path} is {labels.dtype} of shape {labels.shape}: it must be whole numbers of shape ({count},)"
        )
    whole = labels.astype(np.int64)
    if whole.min() < 0 or whole.max() >= 4096:
        raise SamplerError(
            f"labels in {path} go from {whole.min()} to {whole.max()}: they must lie from 0 to 4095"
        )
    return whole

"""What a network is trained on: the shipped digits, a folder of pictures, or the arrays of an npz file."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from entropy.arguments import ANY, takes
from sampler._digits import ATTRIBUTION, load_digits
from sampler._errors import DataSetWarning, SamplerError
from sampler.training._arrays import load_arrays
from sampler.training._folder import load_folder
from sampler.training._pixels import fit_arrays

DIGITS = "digits"
_DARK = 64  # of 255: what 14 bits in files of 16 do not reach


@dataclass(frozen=True, eq=False)
class DataSet:
    """Pictures and labels.

    `images`: (n, size, size) or (n, size, size, 3) uint8; `labels`: (n,) int64 from 0; `label_names`: what each label
    stands for; `sha256`: of the data as they were found, before any conversion.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    label_names: tuple[str, ...]
    sha256: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Height and width of the pictures, in pixels."""
        return self.images.shape[1]

    @property
    def channels(self) -> int:
        """1 for grey pictures, 3 for coloured ones."""
        return 3 if self.images.ndim == 4 else 1

    @property
    def label_count(self) -> int:
        """How many labels a network for these pictures needs."""
        return len(self.label_names)

    def tensor(self) -> torch.Tensor:
        """The pictures as torch takes them: (n, channels, size, size) uint8."""
        images = torch.from_numpy(self.images)
        return images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()

    def described(self) -> dict[str, object]:
        """Name, count and SHA-256, as the card has them."""
        return {
            "name": self.name,
            "images": len(self),
            "labels": list(self.label_names),
            "sha256": self.sha256,
        }


@takes(size=ANY, channels=ANY)
def load_data(
    dataset: str | Path = DIGITS, *, size: int | None = None, channels: int | None = None
) -> DataSet:
    """Load "digits" (shipped), a folder of pictures, or an .npz file with `images` and, optionally, `labels`.

    A folder's sub-folders are its labels, in the order of their names (of their numbers, where all are numbers); a
    folder without sub-folders has one label. An npz file has `images` (n, h, w) or (n, h, w, 3) uint8 and `labels`
    (n,) whole numbers from 0. Pictures are brought to `size` pixels (the central square; the size they have, by
    default) and to `channels` (1 grey, 3 RGB; what they have, by default). Raises SamplerError naming the file that
    is at fault; warns of a set without a bright pixel, and of pictures in a folder that are left out.
    """
    if channels not in (None, 1, 3):
        raise SamplerError(f"pictures have 1 channel (grey) or 3 (RGB), not {channels}")
    if size is not None and not 1 <= size <= 4096:
        raise SamplerError(f"pictures are from 1 to 4096 pixels wide, not {size}")
    if str(dataset) == DIGITS:
        digits = load_digits()
        images = fit_arrays(digits.images, size or digits.images.shape[1], channels or 1)
        names = tuple(str(digit) for digit in range(10))
        return DataSet(ATTRIBUTION, images, digits.labels.astype(np.int64), names, digits.sha256)
    path = Path(dataset)
    if path.is_dir():
        images, labels, names, sha256 = load_folder(path, size, channels)
    elif path.suffix == ".npz" and path.is_file():
        images, labels, names, sha256 = load_arrays(path, size, channels)
    else:
        raise SamplerError(
            f"there is no data set {path}: name digits, a folder of pictures, or an .npz file with images"
        )
    brightest = int(images.max())
    if brightest < _DARK:
        warnings.warn(
            f"the brightest pixel of {path} is {brightest} of 255: if it is not a set of dark pictures, stretch them "
            "over the whole range first (of 16 bits the upper 8 are kept, which a camera of 12 leaves nearly empty)",
            DataSetWarning,
            stacklevel=2,
        )
    return DataSet(path.resolve().name, images, labels, names, sha256)

"""Pictures of one size and one kind of colour out of pictures of any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L", "I;16N", "I"})
GREY_MODES = frozenset({"1", "L", "LA", "La"}) | _SIXTEEN_BIT


def refuse_unfit(picture: Image) -> None:
    """Raise ValueError for an opened file that holds more than one picture, or whose greys are no whole numbers."""
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # of which the first is the photograph
        raise ValueError(f"it holds {frames} pictures: save each of them as a file of its own")
    if picture.mode == "F":
        raise ValueError(
            "its greys are floating-point numbers, of which nothing says what is white: save whole numbers of 8 or 16 "
            "bits"
        )


def fit_picture(picture: Image, size: int, channels: int) -> npt.NDArray[np.uint8]:
    """Give the picture's central square of `size` pixels, (size, size) or (size, size, 3) uint8.

    Shrinking averages over areas, enlarging interpolates bicubically; 16-bit grey keeps its upper eight bits, and
    what is transparent becomes white. Raises ValueError for greys of 32 bits that are not those of 16.
    """
    from PIL import Image as images
    from PIL import ImageOps

    mode = "RGB" if channels == 3 else "L"
    if picture.mode in _SIXTEEN_BIT:
        levels = np.asarray(picture).astype(np.int64)
        if levels.min() < 0 or levels.max() > 0xFFFF:
            raise ValueError("its greys do not fit 16 bits: save whole numbers of 8 or 16 bits")
        if picture.mode == "I" and 0 < levels.max() <= 0xFF:
            raise ValueError("its greys are 8 bits in numbers of 32: save them with 8 bits")
        picture = images.fromarray((levels >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        over = picture.convert("RGBA")
        picture = images.alpha_composite(images.new("RGBA", over.size, "white"), over)
    picture = picture.convert(mode)
    way = images.Resampling.BOX if min(picture.size) >= size else images.Resampling.BICUBIC
    return np.asarray(ImageOps.fit(picture, (size, size), method=way))


def fit_arrays(pictures: npt.NDArray[np.uint8], size: int, channels: int) -> npt.NDArray[np.uint8]:
    """Bring pictures (n, h, w) or (n, h, w, 3) to (n, size, size) or (n, size, size, 3); uint8."""
    from PIL import Image as images

    wanted = (len(pictures), size, size) + ((3,) if channels == 3 else ())
    if pictures.shape == wanted:
        return pictures
    return np.stack([fit_picture(images.fromarray(picture), size, channels) for picture in pictures])

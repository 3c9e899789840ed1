"""The reverse process as an animated picture: GIF, or PNG with frames (APNG)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, takes
from sampler._errors import SamplerError
from sampler._whole_files import write_whole
from sampler.drawing._pictures import SHEET_CHUNK

ANIMATIONS = ("gif", "apng")
_FRAME = 100  # ms
_LAST = 2000  # ms


@takes(steps=ANY, frames=ANY)
def traced_steps(steps: int, frames: int = 25) -> list[int]:
    """Which steps of the reverse process an animation shows: evenly, at most `frames`, the noise (0) and the last."""
    if steps < 1 or frames < 2:
        raise SamplerError(f"an animation needs a step and two frames at least, not {steps} and {frames}")
    every = -(-steps // (frames - 1))
    return [*range(0, steps, every), steps]


def save_animation(
    frames: Sequence[npt.NDArray[np.uint8]], path: Path, provenance: Mapping[str, Any] | None = None
) -> Path:
    """Write frames, (height, width) or (height, width, 3) uint8, as .gif or .apng, the last one held.

    It repeats for ever. `provenance` stands in the GIF's comment, or in the text chunk "memtj-sheet".
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    kind = path.suffix.removeprefix(".")
    if kind not in ANIMATIONS:
        raise SamplerError(f"an animation is a {' or '.join(ANIMATIONS)} file, not {path.name}")
    images = [Image.fromarray(frame) for frame in frames]
    if not images:
        raise SamplerError("an animation needs at least one frame")
    told = json.dumps(provenance) if provenance is not None else ""
    each = [_FRAME] * (len(images) - 1) + [_LAST]
    content = io.BytesIO()
    common: dict[str, Any] = {"save_all": True, "append_images": images[1:], "duration": each, "loop": 0}
    if kind == "gif":
        images[0].save(content, format="GIF", comment=told.encode(), disposal=1, **common)
    else:
        info = PngInfo()
        if told:
            info.add_text(SHEET_CHUNK, told)
        images[0].save(content, format="PNG", pnginfo=info, **common)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getvalue())
    return path

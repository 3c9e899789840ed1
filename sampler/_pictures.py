"""Picture files: PNG with provenance inside and as JSON beside it, and contact sheets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError
from sampler._sample import Picture, to_unit

_CHUNK = "memtj"


def pixels(picture: Picture) -> npt.NDArray[np.uint8]:
    """The picture as it is shown: (height, width) or (height, width, 3) uint8."""
    shown = to_unit(picture.image).mul(255).round().byte().permute(1, 2, 0).numpy()
    return shown[:, :, 0] if shown.shape[2] == 1 else shown


def save_picture(picture: Picture, path: Path) -> Path:
    """Write the picture as PNG, its provenance in the text chunk "memtj" and in a JSON file beside it."""
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    text = json.dumps(picture.provenance)
    info = PngInfo()
    info.add_text(_CHUNK, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(picture)).save(path, format="PNG", pnginfo=info)
    path.with_suffix(".json").write_text(json.dumps(picture.provenance, indent=1) + "\n", encoding="utf-8")
    return path


def save_pictures(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """Write each picture to `folder` as NUMBER-LABEL.png, with its provenance."""
    return [save_picture(p, folder / f"{p.index:05d}-{p.label}.png") for p in pictures]


def save_sheet(pictures: Sequence[Picture], path: Path, columns: int = 8, scale: int = 4) -> Path:
    """Write all pictures side by side as one PNG, each pixel enlarged `scale` times."""
    from PIL import Image

    if not pictures:
        raise SamplerError("a sheet needs at least one picture")
    shown = [np.pad(pixels(p), [(1, 1), (1, 1)] + [(0, 0)] * (pixels(p).ndim - 2)) for p in pictures]
    shown += [np.zeros_like(shown[0])] * (-len(shown) % min(columns, len(shown)))
    columns = min(columns, len(shown))
    rows = [np.concatenate(shown[i : i + columns], axis=1) for i in range(0, len(shown), columns)]
    sheet = np.concatenate(rows).repeat(scale, axis=0).repeat(scale, axis=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(path, format="PNG")
    return path


def load_provenance(path: Path) -> dict[str, Any]:
    """Read the provenance of a picture from its PNG or JSON; raises SamplerError where there is none."""
    try:
        text = path.read_text(encoding="utf-8") if path.suffix == ".json" else _png_text(path)
        provenance = json.loads(text)
    except (OSError, ValueError) as error:
        raise SamplerError(f"the provenance of {path} cannot be read: {error}") from error
    if not isinstance(provenance, dict) or provenance.get("format") != "memtj-picture":
        raise SamplerError(f"{path} carries no provenance of a memtj picture")
    return provenance


def _png_text(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as image:
        text = image.info.get(_CHUNK)
    if not isinstance(text, str):
        raise SamplerError(f"{path} carries no provenance of a memtj picture")
    return text

"""Picture files: PNG with provenance inside and as JSON beside it, and contact sheets."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, Count, takes
from sampler._errors import SamplerError
from sampler._whole_files import write_whole
from sampler.drawing._part import Picture, to_pixels

_CHUNK = "memtj"
SHEET_CHUNK = "memtj-sheet"


def pixels(picture: Picture) -> npt.NDArray[np.uint8]:
    """The picture as it is shown: (height, width) or (height, width, 3) uint8."""
    return to_pixels(picture.image)


def save_picture(picture: Picture, path: Path) -> Path:
    """Write the picture as PNG, its provenance in the text chunk "memtj" and in a JSON file beside it.

    Each file appears whole or not at all, the JSON after the PNG.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _save_png(pixels(picture), path, picture.provenance)
    save_provenance(picture.provenance, path)
    return path


def save_provenance(provenance: Mapping[str, Any], path: Path) -> None:
    """Write the JSON file beside the picture file `path`."""
    write_whole(path.with_suffix(".json"), (json.dumps(provenance, indent=1) + "\n").encode())


def save_pictures(pictures: Sequence[Picture], folder: Path) -> list[Path]:
    """Write each picture to `folder` as NUMBER-LABEL.png (NUMBER.png without a label), with its provenance."""
    return [save_picture(p, folder / picture_name(p.index, p.label)) for p in pictures]


@takes(number=Count(), label=Count())
def picture_name(number: int, label: int | None) -> str:
    """The file name of a picture of a run."""
    return f"{number:05d}.png" if label is None else f"{number:05d}-{label}.png"


@takes(columns=ANY, scale=ANY)
def contact_sheet(
    shown: Sequence[npt.NDArray[np.uint8]], columns: int = 8, scale: int = 4
) -> npt.NDArray[np.uint8]:
    """Lay pictures (all of one shape, as `pixels` gives them) out side by side, each pixel enlarged `scale` times."""
    if not shown:
        raise SamplerError("a sheet needs at least one picture")
    if columns < 1 or scale < 1:
        raise SamplerError(f"a sheet needs at least one column and a scale of 1, not {columns} and {scale}")
    cells = [np.pad(one, [(1, 1), (1, 1)] + [(0, 0)] * (one.ndim - 2)) for one in shown]
    columns = min(columns, len(cells))
    cells += [np.zeros_like(cells[0])] * (-len(cells) % columns)
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows).repeat(scale, axis=0).repeat(scale, axis=1)


@takes(columns=ANY, scale=ANY)
def save_sheet(
    pictures: Sequence[Picture] | Sequence[npt.NDArray[np.uint8]],
    path: Path,
    columns: int = 8,
    scale: int = 4,
    *,
    provenance: Mapping[str, Any] | None = None,
) -> Path:
    """Write all pictures (or their pixels) side by side as one PNG, each pixel enlarged `scale` times.

    `provenance` says what they are, in the text chunk "memtj-sheet".
    """
    shown = [pixels(one) if isinstance(one, Picture) else one for one in pictures]
    sheet = contact_sheet(shown, columns, scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    _save_png(sheet, path, provenance, SHEET_CHUNK)
    return path


def load_pixels(path: Path) -> npt.NDArray[np.uint8]:
    """Read a picture's PNG as `pixels` gave it; raises SamplerError where that cannot be."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"), np.uint8)
    except (OSError, ValueError, SyntaxError) as error:
        raise SamplerError(f"the picture {path} cannot be read: {error}") from error


def load_provenance(path: Path) -> dict[str, Any]:
    """Read the provenance of a picture from its PNG or JSON; raises SamplerError where there is none."""
    try:
        text = path.read_text(encoding="utf-8") if path.suffix == ".json" else _png_text(path)
        provenance = json.loads(text)
    except (OSError, ValueError, SyntaxError) as error:
        raise SamplerError(f"the provenance of {path} cannot be read: {error}") from error
    if not isinstance(provenance, dict) or provenance.get("format") != "memtj-picture":
        raise SamplerError(f"{path} carries no provenance of a memtj picture")
    return provenance


def _save_png(
    shown: npt.NDArray[np.uint8], path: Path, told: Mapping[str, Any] | None, chunk: str = _CHUNK
) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    if told is not None:
        info.add_text(chunk, json.dumps(told))
    content = io.BytesIO()
    Image.fromarray(shown).save(content, format="PNG", pnginfo=info)
    write_whole(path, content.getvalue())


def _png_text(path: Path) -> str:
    from PIL import Image

    with Image.open(path) as image:
        text, sheet = image.info.get(_CHUNK), SHEET_CHUNK in image.info
    if isinstance(text, str):
        return text
    if sheet:
        raise SamplerError(f"{path} is a sheet of several pictures: name the files of its pictures")
    raise SamplerError(f"{path} carries no provenance of a memtj picture")

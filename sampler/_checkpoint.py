"""Checkpoints: a folder of weights (safetensors, half precision) and a card on how they were made; or a model folder
of diffusers.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sampler._diffusers_model import PictureKind, config_digest, is_diffusers_folder, load_diffusers_model
from sampler._errors import SamplerError
from sampler._model import Architecture, build_model
from sampler.processes import BERNOULLI

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

FORMAT = "memtj-checkpoint"
FORMAT_VERSION = 1
_GAUSSIAN_STEPS = 125
WEIGHTS = "model.safetensors"
CARD = "card.json"
GAUSSIAN, BINARY = PROCESSES = ("gaussian", "binary")
"""What a network draws by, as its card names it; an older card names none, and is Gaussian."""


@dataclass(frozen=True)
class Checkpoint:
    """A loaded network, what it draws, the SHA-256 of its weights file and of its configuration, and its card.

    The card of our own checkpoints holds data, steps, loss curve, entropy and versions; `card["scheduler"]` is the
    configuration that the network was trained with, of a diffusers model too, or the binary process.
    `architecture` is None for those of diffusers. `scheduler`: the one it is sampled with where nothing else is asked
    for.
    """

    model: UNet2DModel
    architecture: Architecture | None
    sha256: str
    card: dict[str, Any]
    path: Path
    pictures: PictureKind
    config_sha256: str
    scheduler: str = "ddpm"

    @property
    def process(self) -> str:
        """What the network draws by, one of PROCESSES."""
        return self.card.get("process", GAUSSIAN)

    @property
    def default_steps(self) -> int:
        """How many steps it is sampled with where nothing else is asked for: all that a binary process has."""
        return int(self.card["scheduler"]["steps"]) if self.process == BINARY else _GAUSSIAN_STEPS


def shipped_checkpoint() -> Path:
    """The folder of the checkpoint that comes with the project, trained on the shipped digits."""
    return Path(str(resources.files("sampler") / "models" / "digits"))


def save_checkpoint(
    path: Path, weights: Mapping[str, torch.Tensor], architecture: Architecture, card: Mapping[str, Any]
) -> str:
    """Write weights and card into folder `path`, replacing older ones only when complete; return the SHA-256.

    Other files in the folder stay. Floating-point weights are stored in half precision.
    """
    from safetensors.torch import save

    new = path.with_name(path.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in weights.items()}
    raw = save(half)
    (new / WEIGHTS).write_bytes(raw)
    digest = hashlib.sha256(raw).hexdigest()
    full = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "architecture": asdict(architecture),
        "sha256": digest,
        **card,
    }
    (new / CARD).write_text(json.dumps(full, indent=1) + "\n", encoding="utf-8")
    path.mkdir(exist_ok=True)
    # Each file is whole at any time; between the two, the card's SHA-256 says that the weights are not its own.
    for name in (WEIGHTS, CARD):
        os.replace(new / name, path / name)
    new.rmdir()
    return digest


def load_checkpoint(path: Path | str | None = None) -> Checkpoint:
    """Load a checkpoint folder (the shipped one by default) or a model folder of diffusers for sampling, in float32.

    Of diffusers: a pipeline folder with unet/ and scheduler/, or a bare one, its network a UNet2DModel. Raises
    SamplerError where the folder is missing, foreign, damaged, or holds a network that cannot be sampled here.
    """
    folder = Path(path) if path is not None else shipped_checkpoint()
    if not (folder / CARD).exists() and is_diffusers_folder(folder):
        return _load_foreign(folder)
    card = _read_card(folder)
    architecture = _read_architecture(folder, card)
    weights, digest = _read_weights(folder, card)
    # On torch's "meta" device the fresh weights cost no time and, above all, no random numbers.
    with torch.device("meta"):
        model = build_model(architecture)
    _fill(model, weights, folder)
    model.eval().requires_grad_(False)
    return _checkpoint(model, architecture, digest, card, folder)


def untrained_checkpoint(
    architecture: Architecture, scheduler: Mapping[str, Any], process: str = GAUSSIAN
) -> Checkpoint:
    """Stand in for a network that is not trained yet where only its bill is wanted: it has no weights."""
    with torch.device("meta"):
        model = build_model(architecture)
    return _checkpoint(model, architecture, "", {"scheduler": dict(scheduler), "process": process}, Path())


def _checkpoint(
    model: UNet2DModel, a: Architecture, digest: str, card: dict[str, Any], folder: Path
) -> Checkpoint:
    kind = PictureKind(a.channels, a.image_size, a.image_size, a.labels, a.channels)
    if card.get("process", GAUSSIAN) == GAUSSIAN:
        return Checkpoint(model, a, digest, card, folder, kind, config_digest(asdict(a)))
    # The same weights in another process draw other pictures.
    config = config_digest({**asdict(a), "process": card["process"], "steps": card["scheduler"]})
    return Checkpoint(model, a, digest, card, folder, kind, config, BERNOULLI)


def _load_foreign(folder: Path) -> Checkpoint:
    found = load_diffusers_model(folder)
    card = {"data": f"unknown: a diffusers model, {folder.name}", "scheduler": found.trained}
    return Checkpoint(
        found.model, None, found.sha256, card, folder, found.pictures, found.config_sha256, found.scheduler
    )


def _read_card(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise SamplerError(
            f"there is no checkpoint at {folder}: name a folder that `memtj train` wrote, or a model folder of "
            "diffusers"
        )
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SamplerError(
            f"{folder} is not a model: it holds no {CARD} of `memtj train`, and no model_index.json or config.json of "
            "diffusers"
        ) from None
    except (OSError, ValueError) as error:
        raise SamplerError(f"the card {folder / CARD} cannot be read: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise SamplerError(
            f"{folder / CARD} is not the card of a {FORMAT}: this checkpoint is from another program"
        )
    if card.get("format_version") != FORMAT_VERSION:
        raise SamplerError(
            f"checkpoint {folder} has format version {card.get('format_version')}, this memtj reads "
            f"{FORMAT_VERSION}"
        )
    if card.get("process", GAUSSIAN) not in PROCESSES:
        raise SamplerError(
            f"checkpoint {folder} draws by a process {card['process']!r}, this memtj knows {', '.join(PROCESSES)}"
        )
    return card


def _read_architecture(folder: Path, card: Mapping[str, Any]) -> Architecture:
    given = card.get("architecture")
    fields = set(Architecture.__dataclass_fields__)
    if not isinstance(given, dict) or {"dropout", *given} != fields:  # older cards know no dropout
        raise SamplerError(f"{folder / CARD} describes another kind of network than the one memtj builds")
    numbers = {k: v for k, v in given.items() if k not in ("widths", "dropout")}
    widths, dropout = given["widths"], given.get("dropout", 0.0)
    whole = [*numbers.values(), *(widths if isinstance(widths, list) else [None])]
    possible = all(isinstance(v, int) and not isinstance(v, bool) and 0 < v <= 4096 for v in whole)
    if not possible or not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise SamplerError(f"{folder / CARD} describes a network of impossible size: {given}")
    return Architecture(widths=tuple(widths), dropout=dropout, **numbers)


def _read_weights(folder: Path, card: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], str]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        raw = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise SamplerError(f"checkpoint {folder} has no readable {WEIGHTS}: {error.strerror}") from error
    digest = hashlib.sha256(raw).hexdigest()
    try:
        weights = load(raw)
    except (SafetensorError, ValueError, KeyError) as error:
        raise SamplerError(f"{folder / WEIGHTS} is not a safetensors file: {error}") from error
    if digest != card.get("sha256"):
        raise SamplerError(f"{folder / WEIGHTS} is not the file its card describes: its SHA-256 differs")
    return weights, digest


def _fill(model: UNet2DModel, weights: Mapping[str, torch.Tensor], folder: Path) -> None:
    expected = model.state_dict()
    if set(weights) != set(expected):
        missing, foreign = len(set(expected) - set(weights)), len(set(weights) - set(expected))
        raise SamplerError(
            f"{folder / WEIGHTS} does not fit its card's network: {missing} weights missing, {foreign} "
            f"unknown"
        )
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise SamplerError(
                f"{folder / WEIGHTS} does not fit its card's network: {name} has shape "
                f"{tuple(weights[name].shape)}, the network needs {tuple(tensor.shape)}"
            )
    model.load_state_dict({k: v.to(expected[k].dtype) for k, v in weights.items()}, assign=True)

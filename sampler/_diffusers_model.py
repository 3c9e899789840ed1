"""Models of diffusers, read from their folders: a UNet2DModel, what it draws, and how it was trained."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sampler._errors import SamplerError

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel

PIPELINE = "model_index.json"
CONFIG = "config.json"
SCHEDULER_CONFIG = "scheduler_config.json"
_NETWORK = "UNet2DModel"
_WEIGHTS = "diffusion_pytorch_model"
# What else a pipeline may hold that changes nothing about drawing a picture.
_BYSTANDERS = {"unet", "scheduler", "safety_checker", "feature_extractor"}


@dataclass(frozen=True)
class PictureKind:
    """What a network draws: pictures of so many channels, pixels high and wide; `labels`: how many it knows, or None.

    `out_channels` is what it answers with: as many as a picture has, or twice as many where it learned the variance.
    """

    channels: int
    height: int
    width: int
    labels: int | None
    out_channels: int

    @property
    def numbers(self) -> int:
        """How many numbers a picture has."""
        return self.channels * self.height * self.width

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of a picture: (channels, height, width)."""
        return (self.channels, self.height, self.width)

    def __str__(self) -> str:
        return f"{self.height} × {self.width} pixels in {self.channels} channel{'s' if self.channels > 1 else ''}"


@dataclass(frozen=True)
class DiffusersModel:
    """A loaded network of diffusers, its identity, and its scheduler: class and configuration as trained."""

    model: UNet2DModel
    pictures: PictureKind
    sha256: str
    config_sha256: str
    scheduler: str
    trained: dict[str, Any]


def is_diffusers_folder(folder: Path) -> bool:
    """Whether the folder says that it is a pipeline or a model of diffusers."""
    return (folder / PIPELINE).exists() or (folder / CONFIG).exists()


def config_digest(config: Mapping[str, Any]) -> str:
    """The SHA-256 of a configuration as sorted JSON, without what diffusers notes about itself (keys with "_")."""
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def load_diffusers_model(folder: Path) -> DiffusersModel:
    """Load the network of a pipeline folder or a bare model folder in float32, from safetensors alone.

    Raises SamplerError where it is another network than a UNet2DModel that draws pictures, or weights are missing,
    damaged or in a format that could run code.
    """
    network = folder
    if (folder / PIPELINE).exists():
        _check_pipeline(folder, _read(folder / PIPELINE))
        network = folder / "unet"
    config = _read(network / CONFIG)
    kind = _picture_kind(network, config)
    weights = _weights_file(network)
    try:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise SamplerError(f"{weights} cannot be read: {error.strerror}") from error
    model = _load(network, weights)
    scheduler, trained = _trained(folder, network)
    return DiffusersModel(model, kind, digest, config_digest(config), scheduler, trained)


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SamplerError(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise SamplerError(f"{path} is not the configuration of a diffusers model")
    return config


def _check_pipeline(folder: Path, index: Mapping[str, Any]) -> None:
    parts = {
        k for k, v in index.items() if not k.startswith("_") and isinstance(v, list) and v != [None, None]
    }
    name = index.get("_class_name", "pipeline")
    if "unet" not in parts or "scheduler" not in parts:
        raise SamplerError(
            f"{folder} is a {name} of {', '.join(sorted(parts)) or 'nothing'}: memtj samples pipelines of a unet "
            f"({_NETWORK}) and a scheduler"
        )
    others = sorted(parts - _BYSTANDERS)
    if others:
        raise SamplerError(
            f"{folder} is a {name}, whose network needs {', '.join(others)} too: memtj samples networks that draw the "
            f"pixels themselves; use its own pipeline inside hardware_noise"
        )


def _picture_kind(folder: Path, config: Mapping[str, Any]) -> PictureKind:
    name = config.get("_class_name")
    if name != _NETWORK:
        raise SamplerError(
            f"{folder} holds a {name or 'network without a name'}, which needs more than noise and a label to draw a "
            f"picture: memtj samples {_NETWORK}s; use its own pipeline inside hardware_noise"
        )
    embedding, labels = config.get("class_embed_type"), config.get("num_class_embeds")
    if embedding is not None:
        raise SamplerError(
            f"{folder} is told what to draw by a {embedding} embedding and not by labels: use its own pipeline inside "
            "hardware_noise"
        )
    size, channels, out = (
        config.get("sample_size"),
        config.get("in_channels", 3),
        config.get("out_channels", 3),
    )
    sides = [size, size] if isinstance(size, int) else size
    if not (isinstance(sides, list) and len(sides) == 2 and all(isinstance(v, int) and v > 0 for v in sides)):
        raise SamplerError(f"{folder / CONFIG} does not say how large its pictures are: set its sample_size")
    if channels not in (1, 3) or out not in (channels, 2 * channels):
        raise SamplerError(
            f"{folder} goes from {channels} channels to {out}: memtj samples networks that draw pictures of 1 or 3 "
            "channels, not what another network decodes"
        )
    height, width = sides
    return PictureKind(channels, height, width, labels, out)


def _weights_file(folder: Path) -> Path:
    found = sorted(folder.glob(f"{_WEIGHTS}*.safetensors"))
    plain = folder / f"{_WEIGHTS}.safetensors"
    if plain in found:
        return plain
    if len(found) == 1:
        return found[0]
    if found:
        raise SamplerError(
            f"{folder} holds {len(found)} weights files ({found[0].name} …) and no {plain.name}: write one by "
            "save_pretrained(FOLDER, max_shard_size='100GB')"
        )
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")) or any(folder.glob("*.ckpt")):
        raise SamplerError(
            f"{folder} holds weights that are pickled, which could run any code when loaded, and no {plain.name}: "
            f"where you trust them, convert them once by diffusers.{_NETWORK}.from_pretrained(FOLDER, "
            "use_safetensors=False).save_pretrained(FOLDER)"
        )
    raise SamplerError(f"{folder} holds no weights: {plain.name} is missing")


def _load(folder: Path, weights: Path) -> UNet2DModel:
    from diffusers.models.unets.unet_2d import UNet2DModel

    variant = weights.name.removeprefix(_WEIGHTS).removesuffix(".safetensors").strip(".") or None
    try:
        # diffusers fills fresh weights, which it drew: torch's generator is put back.
        with torch.random.fork_rng(devices=[]):
            loaded = UNet2DModel.from_pretrained(
                str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False,
                output_loading_info=True, variant=variant, torch_dtype=torch.float32,
            )  # fmt: skip
    except Exception as error:  # safetensors, torch, diffusers and json each have their own
        said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])
        raise SamplerError(
            f"the network of {folder} cannot be loaded: {said or type(error).__name__}"
        ) from error
    model, told = loaded  # pyright: ignore[reportGeneralTypeIssues]
    wrong = {name: keys for name, keys in told.items() if keys and name.endswith("_keys")}
    if wrong:
        counts = ", ".join(f"{len(keys)} {name.removesuffix('_keys')}" for name, keys in wrong.items())
        raise SamplerError(f"{weights} does not fit the network of {folder / CONFIG}: weights {counts}")
    return model.eval().requires_grad_(False)


def _trained(folder: Path, network: Path) -> tuple[str, dict[str, Any]]:
    """The scheduler of a pipeline; of a bare model the one beside it, or else the defaults of DDPMScheduler."""
    for path in (folder / "scheduler" / SCHEDULER_CONFIG, network / SCHEDULER_CONFIG):
        if path.exists():
            config = _read(path)
            trained = {key: value for key, value in config.items() if not key.startswith("_")}
            return str(config.get("_class_name", "ddpm")), trained
    if folder != network:
        raise SamplerError(
            f"{folder} holds no scheduler/{SCHEDULER_CONFIG}: how its network was trained is not known"
        )
    return "ddpm", {}

"""The network: diffusers' UNet2DModel, told which digit to draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entropy.arguments import ANY, Each, Real, take_fields
from sampler._errors import SamplerError

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d import UNet2DModel


@dataclass(frozen=True)
class Architecture:
    """A class-conditional UNet: one down and one up block per width, attention at the lowest level alone.

    The default has 949,057 parameters for pictures of 28 × 28 pixels and ten labels.
    """

    image_size: int = 28
    channels: int = 1
    widths: tuple[int, ...] = (32, 48, 64)
    layers_per_block: int = 1
    norm_groups: int = 16
    attention_head: int = 32
    labels: int = 10
    dropout: float = 0.0

    def __post_init__(self) -> None:
        take_fields(
            self,
            image_size=ANY,
            channels=ANY,
            widths=Each(ANY),
            layers_per_block=ANY,
            norm_groups=ANY,
            attention_head=ANY,
            labels=ANY,
            dropout=Real(),
        )


def build_model(architecture: Architecture | None = None) -> UNet2DModel:
    """Build the network with fresh weights, drawn from whatever torch draws from.

    Raises SamplerError where the numbers do not make a network.
    """
    from diffusers.models.unets.unet_2d import UNet2DModel

    a = architecture or Architecture()
    plain = len(a.widths) - 1
    try:
        return UNet2DModel(
            sample_size=a.image_size,
            in_channels=a.channels,
            out_channels=a.channels,
            layers_per_block=a.layers_per_block,
            block_out_channels=tuple(a.widths),
            norm_num_groups=a.norm_groups,
            attention_head_dim=a.attention_head,
            down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
            up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
            num_class_embeds=a.labels,
            dropout=a.dropout,
        )
    except (TypeError, ValueError, RuntimeError, ZeroDivisionError) as error:
        raise SamplerError(f"no network can be built from {a}: {error}") from error

"""Replay: draw a picture again from the bits that its provenance names, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from sampler._checkpoint import Checkpoint, load_checkpoint
from sampler._errors import SamplerError
from sampler._noise_map import NOISE_MAP
from sampler._sample import Picture, SampleSettings, sample
from sampler._sources import Packed, PortionSource, Source, entropy_errors, software_source

if TYPE_CHECKING:
    from entropy import Store


@dataclass(frozen=True)
class Replayed:
    """The picture drawn again, whether it is equal to the last bit, and what differs about the machinery."""

    picture: Picture
    equal: bool
    differences: list[str]


def replay(
    picture: Picture | Mapping[str, Any], store: Store | None = None, checkpoint: Checkpoint | None = None
) -> Replayed:
    """Draw a picture (or the picture of a provenance) again, from the same bits, in a microbatch of the same
    size.

    The bits are read from `store` without accounting, or made again where software made them. Raises
    SamplerError where they cannot be had again, or with another checkpoint or noise map than the picture's.
    """
    told = picture.provenance if isinstance(picture, Picture) else dict(picture)
    checkpoint = checkpoint or load_checkpoint()
    _check(told, checkpoint)
    sampling = told["sampling"]
    settings = SampleSettings(
        **{k: sampling[k] for k in SampleSettings.__dataclass_fields__ if k in sampling}
    )
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(sampling["threads"])
        source = _source_again(told, store)
        again = sample(checkpoint, [told["label"]], source, settings, first=told["picture"]).pictures[0]
    finally:
        torch.set_num_threads(threads)
    equal = again.provenance["picture_sha256"] == told["picture_sha256"]
    if isinstance(picture, Picture):
        equal = equal and torch.equal(again.image, picture.image)
    return Replayed(again, equal, _differences(told, again.provenance))


def _check(told: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    if told.get("format") != "memtj-picture" or told.get("format_version") != 1:
        raise SamplerError("this is not the provenance of a memtj picture, or one of a later version")
    if told["model_sha256"] != checkpoint.sha256:
        raise SamplerError(
            f"picture {told['picture']} was drawn by another network (SHA-256 {told['model_sha256'][:12]}…) "
            f"than "
            f"checkpoint {checkpoint.path} ({checkpoint.sha256[:12]}…): name that checkpoint"
        )
    if told["noise_map"] != asdict(NOISE_MAP):
        raise SamplerError(
            f"picture {told['picture']} was drawn with noise map {told['noise_map']['version']}, this memtj "
            f"has "
            f"{NOISE_MAP.version}"
        )


def _source_again(told: Mapping[str, Any], store: Store | None) -> Source:
    bits = told["bits"]
    software = software_source(bits)
    if software is not None:
        return _OnePicture(software)
    if bits.get("source") != "lease":
        raise SamplerError(
            f"the bits of picture {told['picture']} ({bits.get('source')}) cannot be had again"
        )
    if store is None:
        raise SamplerError(f"picture {told['picture']} needs the store that its bits were recorded in")
    from entropy import conditioning_from_name

    bits_each = told["noise_bits"]
    with entropy_errors():
        conditioning = conditioning_from_name(bits["conditioning"])
        recorded = store.recorded([(buffer, first, count) for buffer, first, count in bits["ranges"]])
    if conditioning.fixed_rate and recorded.bits != conditioning.bits_in(bits_each):
        raise SamplerError(
            f"the picture's {recorded.bits:,} recorded bits are not the {conditioning.bits_in(bits_each):,} of "
            "its bill"
        )
    return _OnePicture(PortionSource(recorded, conditioning, bits_each, bits.get("simulated")))


class _OnePicture:
    """A stream that is the whole source of a run of one picture."""

    def __init__(self, stream: Source) -> None:
        self._stream, self.name = stream, stream.name

    def read(self, bits: int) -> Packed:
        return self._stream.read(bits)

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        if count != 1:
            raise SamplerError("one recorded stream replays one picture")
        return [self._stream]

    def provenance(self) -> dict[str, Any]:
        return self._stream.provenance()


def _differences(told: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    found = [
        f"{name} {told['versions'].get(name)} then, {value} now"
        for name, value in now["versions"].items()
        if told["versions"].get(name) != value
    ]
    if told["sampling"]["scheduler_config"] != now["sampling"]["scheduler_config"]:
        found.append("the scheduler's configuration differs")
    return found

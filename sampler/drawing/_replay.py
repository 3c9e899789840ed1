"""Replay: draw a picture again from the bits that its provenance names, and compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from sampler._bernoulli_map import BERNOULLI_MAP
from sampler._checkpoint import Checkpoint, load_checkpoint
from sampler._errors import SamplerError
from sampler._noise_map import NOISE_MAP
from sampler._normal_levels import normal_levels_sha256
from sampler.drawing._part import Part, Picture
from sampler.drawing._pictures import pixels
from sampler.drawing._sample import draw_part, pixels_digest
from sampler.drawing._settings import SampleSettings
from sampler.sources import PortionSource, Stream, by_words, entropy_errors, source_again

if TYPE_CHECKING:
    from entropy import Store


@dataclass(frozen=True)
class Replayed:
    """The picture drawn again, whether it is equal to the last bit, and what differs.

    `differences`: what differs about the machinery, in words. `equal_until`: the last step of which the provenance
    has a digest that the replay reached too (0: the noise), None where the picture is equal or nothing is known;
    `differs_at`: the first recorded step that differs. `shown`: how the given pixels differ, where there were any.
    `altered`: the given pixels are not those that were drawn.
    """

    picture: Picture
    equal: bool
    differences: list[str]
    equal_until: int | None = None
    differs_at: int | None = None
    shown: PixelDifference | None = None
    altered: bool = False

    @property
    def identical(self) -> bool:
        """Whether the picture is equal to the last bit, and the given pixels are the ones that were drawn."""
        return self.equal and not self.altered


@dataclass(frozen=True)
class PixelDifference:
    """How two pictures differ as they are shown: pixels that do, of how many, and by how much of 255 at most.

    `image`: the difference of each pixel, uint8, in the pictures' shape.
    """

    pixels: int
    of: int
    largest: int
    image: npt.NDArray[np.uint8] = field(repr=False)


def replay(
    picture: Picture | Mapping[str, Any],
    store: Store | None = None,
    checkpoint: Checkpoint | None = None,
    shown: npt.NDArray[np.uint8] | None = None,
) -> Replayed:
    """Draw a picture (or the picture of a provenance) again, from the same bits, in a microbatch of the same
    size.

    The bits are read from `store` without accounting, or made again where software made them. `shown`: the pixels of
    the picture's file, to be compared too. Raises SamplerError where the bits cannot be had again, or with another
    checkpoint or noise map than the picture's.
    """
    told = picture.provenance if isinstance(picture, Picture) else dict(picture)
    checkpoint = checkpoint or load_checkpoint()
    _check(told, checkpoint)
    settings = SampleSettings.from_json(told["sampling"])
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(told["sampling"]["threads"])
        part = Part(checkpoint, settings, (told["picture"],), (told["label"],))
        (again,), _ = draw_part(part, [_stream_again(told, store)])
    finally:
        torch.set_num_threads(threads)
    equal = again.provenance["picture_sha256"] == told["picture_sha256"]
    if isinstance(picture, Picture):
        equal = equal and torch.equal(again.image, picture.image)
        shown = pixels(picture) if shown is None else shown
    difference = None if shown is None else _pixel_difference(shown, pixels(again))
    until, at = (None, None) if equal else _first_difference(told, again.provenance)
    return Replayed(
        again,
        equal,
        _differences(told, again.provenance),
        until,
        at,
        difference,
        _altered(told, shown, difference, equal),
    )


def _check(told: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    if told.get("format") != "memtj-picture" or told.get("format_version") != 1:
        raise SamplerError("this is not the provenance of a memtj picture, or one of a later version")
    kind = checkpoint.pictures
    if tuple(told.get("shape", kind.shape)) != kind.shape:
        channels, height, width = told["shape"]
        raise SamplerError(
            f"picture {told['picture']} has {height} × {width} pixels in {channels} channel(s), and the model "
            f"{checkpoint.path} draws {kind}: name the model that drew it"
        )
    if told["model_sha256"] != checkpoint.sha256:
        raise SamplerError(
            f"picture {told['picture']} was drawn by another network (SHA-256 {told['model_sha256'][:12]}…) "
            f"than checkpoint {checkpoint.path} ({checkpoint.sha256[:12]}…): name that checkpoint"
        )
    if told.get("model_config_sha256", checkpoint.config_sha256) != checkpoint.config_sha256:
        raise SamplerError(
            f"picture {told['picture']} was drawn with these weights in another network: the configuration of "
            f"{checkpoint.path} was changed since"
        )
    if told["noise_map"] != asdict(NOISE_MAP):
        raise SamplerError(
            f"picture {told['picture']} was drawn with noise map {told['noise_map']['version']}, this memtj "
            f"has {NOISE_MAP.version}"
        )
    if told.get("bernoulli_map", BERNOULLI_MAP) != BERNOULLI_MAP:
        raise SamplerError(
            f"picture {told['picture']} was drawn with Bernoulli map {told['bernoulli_map']}, this memtj has "
            f"{BERNOULLI_MAP}"
        )
    levels = told.get("normal_levels_sha256")
    width = SampleSettings.from_json(told["sampling"]).bits_per_normal
    if levels not in (None, normal_levels_sha256(width)):
        raise SamplerError(
            f"picture {told['picture']} was drawn with other normals of {width} bits (levels {levels[:12]}…) than this "
            f"memtj's ({normal_levels_sha256(width)[:12]}…): replay it with the memtj that drew it"
        )


def _stream_again(told: Mapping[str, Any], store: Store | None) -> Stream:
    bits = told["bits"]
    software = source_again(bits)
    if software is not None:
        return software
    if bits.get("source") != "lease":
        raise SamplerError(
            f"the bits of picture {told['picture']} ({bits.get('source')}) cannot be had again"
        )
    if store is None:
        raise SamplerError(f"picture {told['picture']} needs the store that its bits were recorded in")
    from entropy import StoreError, conditioning_from_name

    bits_each = told["noise_bits"]
    with entropy_errors():
        conditioning = conditioning_from_name(bits["conditioning"])
    ranges = [(buffer, first, count) for buffer, first, count in bits["ranges"]]
    for one in ranges:
        try:
            # Each range is read once before anything is drawn, so that what is gone is named at once.
            store.read([one])
        except StoreError as error:
            raise SamplerError(
                f"the bits of picture {told['picture']} are gone: buffer {one[0]}, {one[2]:,} bits from bit "
                f"{one[1]:,} ({error})"
            ) from error
    with entropy_errors():
        recorded = store.recorded(ranges)
    used = told.get("noise_bits_used", bits_each)
    if used < bits_each and by_words(conditioning):
        bits_each = used
    if conditioning.fixed_rate and recorded.bits != conditioning.bits_in(bits_each):
        raise SamplerError(
            f"the picture's {recorded.bits:,} recorded bits are not the {conditioning.bits_in(bits_each):,} of "
            "its bill"
        )
    return PortionSource(recorded, conditioning, bits_each, bits.get("simulated"))


def _first_difference(told: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The last recorded step up to which both went the same way, and the first at which they did not."""
    then, again = told.get("steps_sha256"), dict(now["steps_sha256"])
    until = None
    for step, digest in then or ():
        if again.get(step) != digest:
            return until, step
        until = step
    return until, None


def _pixel_difference(was: npt.NDArray[np.uint8], now: npt.NDArray[np.uint8]) -> PixelDifference:
    if was.shape != now.shape:
        raise SamplerError(
            f"the picture's file has {was.shape[0]} × {was.shape[1]} pixels, its provenance says "
            f"{now.shape[0]} × {now.shape[1]}: it was made larger or smaller, or is another picture"
        )
    difference = np.abs(was.astype(np.int16) - now).astype(np.uint8)
    each = difference if difference.ndim == 2 else difference.max(axis=2)
    return PixelDifference(int((each > 0).sum()), each.size, int(each.max()), difference)


def _altered(
    told: Mapping[str, Any],
    shown: npt.NDArray[np.uint8] | None,
    difference: PixelDifference | None,
    equal: bool,
) -> bool:
    if shown is None:
        return False
    if "pixels_sha256" in told:
        return pixels_digest(shown) != told["pixels_sha256"]
    # Older pictures do not say what their pixels were; an equal one tells it.
    return equal and difference is not None and difference.pixels > 0


def _differences(told: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    then = told["versions"]
    found = [
        f"{name} {then[name]} then, {value} now"
        for name, value in now["versions"].items()
        if name in then and then[name] != value
    ]
    if told["sampling"]["threads"] != now["sampling"]["threads"]:
        found.append(f"threads {told['sampling']['threads']} then, {now['sampling']['threads']} now")
    if told["sampling"]["scheduler_config"] != now["sampling"]["scheduler_config"]:
        found.append("the scheduler's configuration differs")
    return found

"""The noise hook: unmodified torch code draws its random numbers from a source of bits.

The kernels of torch's random operations are replaced while the context lasts, which costs the other
operations nothing. An operation that draws random numbers and is not served raises; nothing falls back to
torch's generator. The hook holds for the whole process: it is the one piece of global state in this package.
"""

from sampler.hook._context import hardware_noise, picture_generator, streams_noise, threads_noise
from sampler.hook._state import HardwareNoise, PaddingStream

__all__ = [
    "HardwareNoise",
    "PaddingStream",
    "hardware_noise",
    "picture_generator",
    "streams_noise",
    "threads_noise",
]

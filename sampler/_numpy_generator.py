"""numpy's `Generator` over a source of bits: numpy's distributions, the source's randomness."""

from __future__ import annotations

import ctypes
import functools
import os
import weakref
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.random.bit_generator import ISeedSequence

from sampler._errors import SamplerError
from sampler.sources import Stream

_LEAST_AHEAD = 32  # words
_SHARE_AHEAD = 8  # what is read ahead is at most one part in so many of what was used


class SourceGenerator(np.random.Generator):
    """A `numpy.random.Generator` whose bits come from a source, each at most once (see `numpy_generator`).

    A draw that the source cannot serve raises SamplerError, and so does every later one; what an in-place draw
    (`out=`, `shuffle`) had written by then is to be thrown away.
    """

    def __init__(self, source: Stream) -> None:
        self._bits = _SourceBits(source)
        super().__init__(self._bits)
        self._bits.seal()

    @property
    def bits_read(self) -> int:
        """How many bits were read from the source."""
        return self._bits.bits_read

    @property
    def bits_ahead(self) -> int:
        """How many of them no draw has used yet: at most 1,024, or an eighth of those used, and 2^19 at the most."""
        return self._bits.bits_ahead

    def spawn(self, n_children: int) -> NoReturn:
        """Refuse: children would need seeds, and bits have none."""
        _refuse("spawn children: make a generator from another source instead")

    def __reduce__(self) -> NoReturn:
        _refuse("be copied or pickled: the copy would draw the same bits again")


class _SourceBits(np.random.BitGenerator):
    """Fills numpy's table of functions (`bitgen_t`) with ours, and their buffer from a source."""

    def __init__(self, source: Stream) -> None:
        super().__init__(_NoSeed())  # pyright: ignore[reportArgumentType]
        kernel = _compiled()
        self._source, self._kernel = source, kernel
        self._read, self._left_at_end = 0, 0
        self._sealed = False
        self._error: BaseException | None = None
        self._buffer = np.zeros(kernel.SIZE, np.uint64)
        self._words = self._buffer[kernel.HEADER :].view(np.uint32)
        self._buffer[kernel.REFILL] = ctypes.cast(_refill, ctypes.c_void_p).value or 0
        self._buffer[kernel.SELF] = self._buffer.ctypes.data
        table = _Table.from_address(_address(super().capsule))
        table.state = self._buffer.ctypes.data
        table.next_uint64 = table.next_raw = kernel.next_uint64.address
        table.next_uint32 = kernel.next_uint32.address
        table.next_double = kernel.next_double.address
        _live[self._buffer.ctypes.data] = self

    def seal(self) -> None:
        """Let nobody else draw: only the generator's methods see to it that a failure raises."""
        self._sealed = True

    @property
    def capsule(self) -> Any:
        """numpy's way to the functions, for the one generator that is made with it."""
        return _refuse_others() if self._sealed else super().capsule

    @property
    def ctypes(self) -> NoReturn:
        """Refuse: a caller by ctypes could not be told of a failure."""
        _refuse_others()

    @property
    def cffi(self) -> NoReturn:
        """Refuse: a caller by cffi could not be told of a failure."""
        _refuse_others()

    @property
    def state(self) -> NoReturn:
        """Refuse: bits are used once."""
        _refuse("give or take a state: its bits are used once")

    @state.setter
    def state(self, value: Any) -> NoReturn:
        _refuse("give or take a state: its bits are used once")

    @property
    def bits_read(self) -> int:
        """How many bits were read."""
        return 32 * self._read

    @property
    def bits_ahead(self) -> int:
        """How many of them are still in the buffer."""
        return 32 * self._ahead()

    def random_raw(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, size: Any = None, output: bool = True
    ) -> Any:
        """Draw 64-bit words as they are."""
        self.check()
        drawn = super().random_raw(size, output)
        self.check()
        return drawn

    def jumped(self, jumps: int = 1) -> NoReturn:
        """Refuse: there is no sequence to jump in."""
        _refuse("jump: bits are read in order")

    def spawn(self, n_children: int) -> NoReturn:
        """Refuse: children would need seeds, and bits have none."""
        _refuse("spawn children: make a generator from another source instead")

    def __reduce__(self) -> NoReturn:
        _refuse("be copied or pickled: the copy would draw the same bits again")

    def check(self) -> None:
        """Raise where the source has failed: SamplerError, or as it was what is no Exception (Ctrl-C)."""
        if not self._buffer[self._kernel.FAILED]:
            return
        if self._error is not None and not isinstance(self._error, Exception):
            raise self._error
        why = self._error or "it was interrupted while it read from its source"
        raise SamplerError(f"this numpy generator draws no more: {why}") from self._error

    def refill(self, need: int) -> None:
        """Read words into the buffer: `need` at least, and as many ahead as the source still has."""
        at, left = int(self._buffer[self._kernel.AT]), self._ahead()
        rest = self._words[at : at + left].copy()
        self._hold(0)  # an interruption from here on finds no word to give out a second time
        words = self._read_words(need - left)
        self._words[:left] = rest
        self._words[left : left + len(words)] = words
        self._hold(left + len(words))

    def fail(self, error: BaseException) -> None:
        """Remember the first failure, and give out no more of the buffer."""
        if self._error is None:
            self._left_at_end, self._error = self._ahead(), error
        self._buffer[self._kernel.FAILED] = 1
        self._hold(0)

    def _hold(self, words: int) -> None:
        """Say how many words the buffer holds, in one step."""
        k = self._kernel
        self._buffer[k.AT : k.END + 1] = (0, words)

    def _ahead(self) -> int:
        if self._error is not None:
            return self._left_at_end
        return int(self._buffer[self._kernel.END] - self._buffer[self._kernel.AT])

    def _read_words(self, least: int) -> Any:
        wanted = max(least, _LEAST_AHEAD, min(self._read // _SHARE_AHEAD, self._kernel.AHEAD))
        while True:
            try:
                packed = self._source.read(32 * wanted)
            except SamplerError:
                # Near its end a source may still have what is needed, if not what would be read ahead.
                if wanted == least:
                    raise
                wanted = max(least, wanted // 2)
            else:
                break
        if len(packed) != 4 * wanted:
            raise SamplerError(f"the source gave {8 * len(packed):,} bits where {32 * wanted:,} were wanted")
        self._read += wanted
        return packed.view(">u4")


class _NoSeed(ISeedSequence):
    """numpy wants a seed for every generator of bits: here is none."""

    def generate_state(self, n_words: int, dtype: Any = np.uint32) -> NoReturn:
        """Refuse."""
        _refuse("give a seed: its bits come from a source")


class _Table(ctypes.Structure):
    """numpy's `bitgen_t` (numpy/random/bitgen.h)."""

    _fields_ = [
        (name, ctypes.c_void_p) for name in ("state", "next_uint64", "next_uint32", "next_double", "next_raw")
    ]


_live: weakref.WeakValueDictionary[int, _SourceBits] = weakref.WeakValueDictionary()


def numpy_generator(source: Stream) -> SourceGenerator:
    """Give a `numpy.random.Generator` whose random bits are those of `source`, each used at most once.

    The distributions are numpy's own (docs/noise-in-programs.md): `random()` is the top 53 of 64 bits, of
    float32 24 of 32; others take as many words as their rejections want. Little is read ahead: `bits_read` and
    `bits_ahead` say how much. Threads may share it, as any generator of numpy.

    Its methods raise SamplerError where the source has no more bits, in a forked child, and for what needs bits
    twice: copies, pickles, states, `spawn`. Other code than its methods (numba, cffi) may not draw from it.
    """
    return SourceGenerator(source)


@functools.cache
def _compiled() -> Any:
    from numba.extending import typeof_impl

    from sampler import _bit_generator_kernel

    # numba takes a generator apart without asking whether it may: without this, the process would crash.
    for kind in (SourceGenerator, _SourceBits):
        typeof_impl.register(kind)(lambda _value, _context: _refuse_others())
    return _bit_generator_kernel


@ctypes.CFUNCTYPE(None, ctypes.c_uint64, ctypes.c_uint64)
def _refill(address: int, need: int) -> None:
    bits = _live[address]
    try:
        bits.refill(need)
    except BaseException as error:
        # numpy's C code called and cannot be interrupted: the generator's method raises this when it returns.
        bits.fail(error)


def _forked() -> None:
    for bits in list(_live.values()):
        bits.fail(
            SamplerError(
                "it was made before this process was forked, and both would draw the same bits; start the child "
                "by spawn and give it a source of its own"
            )
        )


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def _address(capsule: Any) -> int:
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return get(capsule, b"BitGenerator")


def _refuse(what: str) -> NoReturn:
    raise SamplerError(f"a numpy generator over a source of bits cannot {what}")


def _refuse_others() -> NoReturn:
    _refuse("be drawn from by other code than its own methods, which could not be told that the bits ran out")


def _checked(name: str) -> Callable[..., Any]:
    """Wrap numpy's method so that it raises where the source failed before or meanwhile."""
    method = getattr(np.random.Generator, name)

    @functools.wraps(method)
    def draw(self: SourceGenerator, *args: Any, **kwargs: Any) -> Any:
        self._bits.check()
        try:
            return method(self, *args, **kwargs)
        finally:
            self._bits.check()

    return draw


for _name in vars(np.random.Generator):
    if not _name.startswith("_") and _name not in ("bit_generator", "spawn"):
        setattr(SourceGenerator, _name, _checked(_name))

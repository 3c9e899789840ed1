"""numpy's Generator over a source: the source's bits, each once, and an error where there are no more."""

import copy
import multiprocessing
import os
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from entropy import Store, Xor
from sampler import (
    LeaseSource,
    SamplerError,
    SoftwareSource,
    Source,
    SourceGenerator,
    numpy_generator,
    uniforms,
)


class FiniteSource:
    """Holds some bytes, gives each out once, and says where there are too few."""

    name = "finite"

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.reads = data, 0, 0

    def read(self, bits: int) -> np.ndarray:
        if self.at + bits // 8 > len(self.data):
            raise SamplerError(f"the noise wants {bits} more bits and there are {self.left}")
        self.at += bits // 8
        self.reads += 1
        return np.frombuffer(self.data[self.at - bits // 8 : self.at], np.uint8)

    @property
    def left(self) -> int:
        return 8 * (len(self.data) - self.at)

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        raise NotImplementedError

    def provenance(self) -> dict[str, Any]:
        return {"source": self.name, "bits": 8 * self.at}


def words_of(bits: np.random.BitGenerator, count: int, kind: str) -> FiniteSource:
    return FiniteSource(np.asarray(bits.random_raw(count)).astype(kind).tobytes())


Draw = Callable[[np.random.Generator], Any]
WIDE: dict[str, Draw] = {
    "random": lambda g: g.random(1000),
    "uniform": lambda g: g.uniform(-1, 3, (10, 10)),
    "normal": lambda g: g.normal(1, 2, 1000),
    "standard_exponential": lambda g: g.standard_exponential(1000),
    "gamma": lambda g: g.gamma(0.7, size=500),
    "beta": lambda g: g.beta(0.5, 2, size=500),
    "poisson": lambda g: g.poisson(30, 500),
    "binomial": lambda g: g.binomial(100, 0.4, 500),
    "vonmises": lambda g: g.vonmises(0, 4, 500),
    "hypergeometric": lambda g: g.hypergeometric(50, 40, 30, 100),
    "multivariate_normal": lambda g: g.multivariate_normal([0, 1], [[2, 1], [1, 2]], 50),
    "dirichlet": lambda g: g.dirichlet([0.3, 0.4, 2], 50),
    "64-bit integers": lambda g: g.integers(-(2**62), 2**63 - 5, 500),
    "choice with weights": lambda g: g.choice(4, 500, p=[0.1, 0.2, 0.3, 0.4]),
    "raw": lambda g: g.bit_generator.random_raw(100),
}
NARROW: dict[str, Draw] = {
    "integers": lambda g: g.integers(0, 10, 500),
    "an integer": lambda g: g.integers(3000),
    "bytes of integers": lambda g: g.integers(0, 200, 501, dtype=np.uint8),
    "bools": lambda g: g.integers(0, 2, 77, dtype=bool),
    "permutation": lambda g: g.permutation(500),
    "shuffle": lambda g: shuffled(g, 300),
    "permuted": lambda g: g.permuted(np.arange(60).reshape(6, 10), axis=1),
    "choice": lambda g: g.choice(1000, 20, replace=False),
    "bytes": lambda g: g.bytes(101),
    "float32 normals": lambda g: g.standard_normal(300, dtype=np.float32),
    "float32 uniforms": lambda g: g.random(300, dtype=np.float32),
}


def shuffled(generator: np.random.Generator, count: int) -> np.ndarray:
    x = np.arange(count)
    generator.shuffle(x)
    return x


@pytest.mark.parametrize("name", WIDE)
def test_the_words_of_pcg64_give_the_numbers_of_pcg64(name: str) -> None:
    expected = WIDE[name](np.random.Generator(np.random.PCG64(11)))
    got = WIDE[name](numpy_generator(words_of(np.random.PCG64(11), 10_000, ">u8")))
    assert np.array_equal(got, expected)


@pytest.mark.parametrize("name", NARROW)
def test_the_words_of_mt19937_give_the_numbers_of_mt19937(name: str) -> None:
    # The Mersenne twister takes words of 32 bits, two for 64, the first on top: as here.
    expected = NARROW[name](np.random.Generator(np.random.MT19937(11)))
    got = NARROW[name](numpy_generator(words_of(np.random.MT19937(11), 10_000, ">u4")))
    assert np.array_equal(got, expected)


def test_every_public_method_of_numpy_s_generator_is_watched() -> None:
    left = {n for n in dir(np.random.Generator) if not n.startswith("_")} - {"bit_generator"}
    assert left <= set(vars(SourceGenerator))


def test_uniforms_are_the_noise_map_s() -> None:
    bits = SoftwareSource(2).read(64 * 100_000)
    assert np.array_equal(numpy_generator(SoftwareSource(2)).random(100_000), uniforms(bits, 53))
    single = numpy_generator(SoftwareSource(2)).random(200_000, dtype=np.float32)
    assert np.array_equal(single, uniforms(bits, 24))


def test_accounts_are_exact_and_little_is_read_ahead() -> None:
    source = SoftwareSource(1)
    generator = numpy_generator(source)
    assert (generator.bits_read, source.bits) == (0, 0)
    generator.random(3)
    generator.random(dtype=np.float32)
    used = 3 * 64 + 32
    for more in (100, 10_000, 1_000_000):
        assert generator.bits_read - generator.bits_ahead == used
        assert source.bits == source.provenance()["bits"] == generator.bits_read
        assert generator.bits_ahead <= min(max(1024, used // 8), 2**19)
        generator.random(more)
        used += 64 * more


@pytest.mark.parametrize("bits", [64, 96, 64 * 33, 64 * 20_000, 64 * 20_000 + 32])
def test_the_last_bit_of_a_source_can_be_used(bits: int) -> None:
    data = os.urandom(bits // 8)
    source = FiniteSource(data)
    generator = numpy_generator(source)
    whole = np.frombuffer(data[: bits // 64 * 8], np.uint8)
    assert np.array_equal([generator.random() for _ in range(bits // 64)], uniforms(whole, 53))
    if bits % 64:
        assert generator.integers(0, 2**32, dtype=np.uint32) == int.from_bytes(data[-4:], "big")
    assert (source.left, generator.bits_ahead, generator.bits_read) == (0, 0, bits)
    with pytest.raises(SamplerError, match="and there are 0"):
        generator.random()


@pytest.mark.parametrize(
    "draw",
    [
        *WIDE.values(),
        *NARROW.values(),
        lambda g: g.random(out=np.empty(100)),
        lambda g: g.integers(0, (1 << 63) + 1, dtype=np.uint64),  # rejects half: must end nevertheless
        lambda g: g.standard_gamma(0.01, 1000),
    ],
)
def test_a_source_that_gives_out_raises_and_the_generator_stays_at_its_end(draw: Draw) -> None:
    generator = numpy_generator(FiniteSource(b"\x01\x02\x03"))
    for _ in range(2):
        with pytest.raises(
            SamplerError, match=r"draws no more: the noise wants \d+ more bits and there are 24"
        ):
            draw(generator)
    assert (generator.bits_read, generator.bits_ahead) == (0, 0)


def test_after_an_error_no_rest_of_the_bits_is_given_out() -> None:
    source = FiniteSource(os.urandom(100))
    generator = numpy_generator(source)
    for _ in range(2):
        with pytest.raises(SamplerError, match="draws no more"):
            generator.random(50)
    for draw in (generator.random, generator.bit_generator.random_raw, lambda: generator.integers(5)):
        with pytest.raises(SamplerError, match="draws no more"):
            draw()


class FailingSource(SoftwareSource):
    def __init__(self, error: BaseException) -> None:
        super().__init__(1)
        self.error = error

    def read(self, bits: int) -> Any:
        raise self.error


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError("the disk is gone"), SamplerError), (KeyboardInterrupt("stop"), KeyboardInterrupt)],
)
def test_other_failures_of_a_source_surface_too(error: BaseException, raised: type[BaseException]) -> None:
    generator = numpy_generator(FailingSource(error))
    with pytest.raises(raised, match=str(error)):
        generator.normal(size=10)


class ShortSource(SoftwareSource):
    def read(self, bits: int) -> Any:
        return super().read(bits)[:-4]


def test_a_source_that_gives_less_than_it_was_asked_for_is_found_out() -> None:
    generator = numpy_generator(ShortSource(1))
    with pytest.raises(SamplerError, match="the source gave 992 bits where 1,024 were wanted"):
        generator.random()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("drawn", [0, 100, 127])
def test_an_interruption_anywhere_gives_no_bit_out_again(drawn: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = numpy_generator(SoftwareSource(1))
    generator.integers(0, 2**32, drawn, dtype=np.uint32)

    def interrupted(*_arguments: Any) -> None:
        raise KeyboardInterrupt

    # Where Ctrl-C falls into the code that handles failures, Python has no way to hand it on.
    for method in ("refill", "fail"):
        monkeypatch.setattr(type(generator.bit_generator), method, interrupted)
    for _ in range(2):
        with pytest.raises(SamplerError, match="was interrupted"):
            generator.integers(0, 2**32, 1000, dtype=np.uint32)


@pytest.mark.parametrize(
    "twice",
    [
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        lambda g: g.spawn(2),
        lambda g: g.bit_generator.spawn(2),
        lambda g: g.bit_generator.jumped(),
        lambda g: g.bit_generator.state,
        lambda g: setattr(g.bit_generator, "state", {}),
        lambda g: pickle.dumps(g.bit_generator),
        lambda g: copy.deepcopy(g.bit_generator),
        lambda g: g.bit_generator.seed_seq.generate_state(4),
    ],
)
def test_what_would_use_bits_twice_is_refused(twice: Callable[[Any], Any]) -> None:
    with pytest.raises(SamplerError, match="cannot"):
        twice(numpy_generator(SoftwareSource(1)))


@numba.njit
def compiled_draw(generator: Any) -> float:
    return generator.random()


@pytest.mark.parametrize(
    "other",
    [
        lambda g: np.random.Generator(g.bit_generator),
        lambda g: np.random.RandomState(g.bit_generator),
        lambda g: g.bit_generator.ctypes,
        lambda g: g.bit_generator.cffi,
        compiled_draw,
        lambda g: compiled_draw(g.bit_generator),
    ],
)
def test_code_that_could_not_be_told_of_the_end_is_refused(other: Callable[[Any], Any]) -> None:
    source = SoftwareSource(1)
    with pytest.raises(SamplerError, match="other code than its own methods"):
        other(numpy_generator(source))
    assert source.bits == 0


def test_threads_share_a_generator_and_no_word_comes_twice() -> None:
    words = np.arange(400_000, dtype=">u8")
    generator = numpy_generator(FiniteSource(words.tobytes()))
    drawn: list[np.ndarray] = []

    def work() -> None:
        for size in (1, 7, 999):
            drawn.extend(generator.integers(0, 2**64, size, dtype=np.uint64) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    got = np.sort(np.concatenate(drawn))
    assert np.array_equal(got, np.arange(4 * 50 * 1007))


def draw_in_child(generator: np.random.Generator, answer: Any) -> None:
    try:
        answer.send(generator.random())
    except SamplerError as error:
        answer.send(str(error))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_is_refused_and_the_parent_goes_on() -> None:
    generator = numpy_generator(SoftwareSource(1))
    first = generator.random()
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:
        draw_in_child(generator, theirs)
        os._exit(0)
    os.waitpid(child, 0)
    assert ours.poll(10)
    assert "forked" in ours.recv()
    assert [first, generator.random()] == list(uniforms(SoftwareSource(1).read(128), 53))


def test_a_lease_is_drawn_from_and_accounted_for(recorded: Callable[[int], Store]) -> None:
    store = recorded(1 << 20)
    before = store.accounts()
    with store.lease(1 << 18, purpose="numpy") as lease:
        source = LeaseSource(lease, Xor(2))
        generator = numpy_generator(source)
        normals = generator.normal(size=500)
        assert source.provenance()["bits"] == 2 * generator.bits_read
    after = store.accounts()
    assert len(np.unique(normals)) == 500
    assert 64 * 500 <= generator.bits_read - generator.bits_ahead < 64 * 600
    assert after.consumed == 2 * generator.bits_read
    assert after.free == before.free - after.consumed


def test_a_lease_that_runs_out_raises_and_is_burned(recorded: Callable[[int], Store]) -> None:
    store = recorded(1 << 20)
    with pytest.raises(SamplerError, match="the lease holds"):
        with store.lease(1 << 12, purpose="numpy") as lease:
            numpy_generator(LeaseSource(lease)).random(1000)
    assert store.accounts().burned == 1 << 12

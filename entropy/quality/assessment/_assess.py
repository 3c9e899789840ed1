"""All of the assessment: one value that holds what every test said."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from entropy._errors import NotEnoughBits, StoreError
from entropy.arguments import Count, Real, take_fields, takes
from entropy.conditioning import Conditioning, NoConditioning

from ..estimators import LEAST_BITS, MinEntropy, min_entropy
from ..iid import (
    ChiSquare,
    PermutationTests,
    RepeatTest,
    goodness_of_fit,
    independence,
    longest_repeat_test,
    permutation_tests,
)
from ..restarts import SAMPLES, RestartTests, restart_tests
from ..sp800_22 import Battery, judge, run_tests
from ._cells import CellAssessment, assess_cells
from ._health import Health, health_of
from ._ideal import ideal_estimates
from ._subject import Reading, StoreSubject, Subject

STANDARD_BITS = 1_000_000
LAGS = 64
_LEAST_RESTARTS = 10
_THREADS = 2

Progress = Callable[[str, float, float], None]  # stage, done, of


@dataclass(frozen=True)
class Settings:
    """How much to look at.

    `bits`: of the ten estimators, raw, cell by cell, conditioned, and of each window (at most a million there);
    `windows`: how many, spread over the recording; `sequences` of `sequence_bits` bits each: of SP 800-22; `ideal`:
    sequences of software bits that the same estimators are shown for comparison; `cells`: whether to look at them one
    by one; `permutations`: of the IID tests, 0 for none of those; `claim`: the submitter's min-entropy per bit, None
    for none.
    """

    bits: int = STANDARD_BITS
    windows: int = 12
    sequences: int = 55
    sequence_bits: int = STANDARD_BITS
    ideal: int = 4
    cells: bool = True
    permutations: int = 0
    claim: float | None = None
    conditioning: Conditioning = field(default_factory=NoConditioning)

    def __post_init__(self) -> None:
        take_fields(
            self,
            bits=Count(1),
            windows=Count(),
            sequences=Count(),
            sequence_bits=Count(1),
            ideal=Count(),
            permutations=Count(),
            claim=Real(),
        )


@dataclass(frozen=True)
class Window:
    """One stretch of the recording: its first bit, when that was, share of ones, lag-1 correlation, min-entropy."""

    first_bit: int
    bits: int
    seconds: float | None
    ones: float
    lag1: float
    min_entropy: MinEntropy


@dataclass(frozen=True)
class Conditioned:
    """The same tests after a conditioning; these bits' entropy is that of the raw ones that went in, at most."""

    name: str
    bits: int
    bits_in: int
    min_entropy: MinEntropy
    sp800_22: Battery


@dataclass(frozen=True, eq=False)
class Assessment:
    """What was found; parts that could not be made are None, and `notes` say why.

    `raw`: the ten estimators of `bits` raw bits in the order recorded; `cells`: the same cell by cell; `ideal`: the
    lowest for as many software bits, one of each sequence, and `windows_ideal` for as many as a window has;
    `autocorrelation`: of the raw bits, from lag 1 on, float64.
    """

    name: str
    available: int
    simulated: bool | None
    origin: str
    claim: float | None
    bits: int
    raw: MinEntropy
    cells: CellAssessment | None
    ideal: tuple[float, ...]
    windows: tuple[Window, ...]
    windows_ideal: tuple[float, ...]
    autocorrelation: np.ndarray
    sp800_22: Battery
    conditioned: Conditioned | None
    health: Health | None
    independence: ChiSquare
    goodness_of_fit: ChiSquare
    longest_repeat: RepeatTest
    permutations: PermutationTests | None
    restarts: RestartTests | None
    notes: tuple[str, ...]

    @property
    def original(self) -> float:
        """The lowest estimate of the raw bits, in the order recorded and cell by cell (H_original of 3.1.3)."""
        lowest = self.raw.assessed
        return lowest if self.cells is None else min(lowest, self.cells.by_cell.assessed)

    @property
    def initial(self) -> float:
        """The initial estimate: the lower of what was found and what is claimed (3.1.3)."""
        return self.original if self.claim is None else min(self.original, self.claim)

    @property
    def assessed(self) -> float:
        """The min-entropy per raw bit after the restart tests, where there were any; 0 where they failed.

        The estimates of a matrix smaller than the standard's are low because it is small: they do not lower this.
        """
        if self.restarts is None or (self.restarts.passed and not self.restarts.standard):
            return self.initial
        return self.restarts.assessed

    @property
    def supported(self) -> bool | None:
        """Whether the bits support the claim; None where there is none."""
        if self.claim is None:
            return None
        return self.original >= self.claim and (self.restarts is None or self.restarts.passed)


def assess(
    subject: Subject,
    settings: Settings = Settings(),
    *,
    restarts: np.ndarray | None = None,
    progress: Progress | None = None,
) -> Assessment:
    """Assess raw bits; nothing is leased or spent.

    `restarts`: a matrix of restarts, uint8, (restarts, bits of each); of a store the starts of its recordings are taken
    where there are ten or more. Raises NotEnoughBits where there are too few for the estimators.
    """
    if subject.bits < LEAST_BITS:
        raise NotEnoughBits(LEAST_BITS, subject.bits, "there to assess")
    if settings.claim is not None and not 0 < settings.claim <= 1:
        raise ValueError("a claim is above 0 and at most 1 bit of min-entropy")
    tell = progress or (lambda stage, done, of: None)
    notes: list[str] = []
    count = min(settings.bits, subject.bits)
    if count < STANDARD_BITS:
        notes.append(f"The estimators saw {count:,} bits; the standard wants {STANDARD_BITS:,} at least.")
    tell("estimators", 0, 3)
    first = subject.read(0, count)
    raw = min_entropy(first)
    tell("estimators", 1, 3)
    cells = _cells(subject, settings, count, notes)
    tell("estimators", 2, 3)
    ideal = ideal_estimates(count, settings.ideal)
    tell("estimators", 3, 3)
    original = raw.assessed if cells is None else min(raw.assessed, cells.by_cell.assessed)
    initial = original if settings.claim is None else min(original, settings.claim)
    windows = tuple(_windows(subject, settings, count, tell))
    battery = _battery(subject, settings, tell)
    conditioned = _conditioned(subject, settings, notes, tell)
    permutations = None
    if settings.permutations:
        permutations = permutation_tests(
            first, settings.permutations, progress=lambda done, of: tell("permutations", done, of)
        )
    return Assessment(
        name=subject.name,
        available=subject.bits,
        simulated=subject.simulated,
        origin=subject.origin,
        claim=settings.claim,
        bits=count,
        raw=raw,
        cells=cells,
        ideal=ideal,
        windows=windows,
        windows_ideal=ideal_estimates(windows[0].bits, settings.ideal) if windows else (),
        autocorrelation=autocorrelation(first, LAGS),
        sp800_22=battery,
        conditioned=conditioned,
        health=health_of(first, settings.claim or original),
        independence=independence(first),
        goodness_of_fit=goodness_of_fit(first),
        longest_repeat=longest_repeat_test(first),
        permutations=permutations,
        restarts=_restarts(subject, restarts, initial, notes),
        notes=tuple(notes),
    )


def _cells(subject: Subject, settings: Settings, count: int, notes: list[str]) -> CellAssessment | None:
    if not isinstance(subject, StoreSubject):
        notes.append("A file says nothing of cells: what a cell remembers of its last outcome may go unseen.")
        return None
    if not settings.cells:
        return None
    try:
        return assess_cells(subject, count, settings.ideal)
    except NotEnoughBits as error:
        notes.append(f"The cells were not assessed: {error}.")
        return None


def _windows(subject: Subject, settings: Settings, count: int, tell: Progress) -> Iterator[Window]:
    """Look at stretches spread evenly over the recording, which do not overlap."""
    wanted = min(settings.windows, subject.bits // LEAST_BITS)
    if wanted < 2:
        return
    size = min(count, STANDARD_BITS, subject.bits // wanted)
    tell("windows", 0, wanted)
    for number, first in enumerate(np.linspace(0, subject.bits - size, wanted).astype(int).tolist()):
        bits = subject.read(first, size)
        yield Window(
            first, size, subject.seconds(first), float(bits.mean()), float(autocorrelation(bits, 1)[0]),
            min_entropy(bits),
        )  # fmt: skip
        tell("windows", number + 1, wanted)


def _battery(subject: Subject, settings: Settings, tell: Progress) -> Battery:
    size = min(settings.sequence_bits, subject.bits)
    wanted = max(1, min(settings.sequences, subject.bits // size))
    # spread over the recording
    firsts = np.linspace(0, subject.bits - size, wanted).astype(int).tolist()
    return _tested(
        (lambda first=first: subject.read(first, size) for first in firsts), wanted, size, "SP 800-22", tell
    )


def _tested(
    sequences: Iterator[Callable[[], np.ndarray]], wanted: int, size: int, stage: str, tell: Progress
) -> Battery:
    """Run SP 800-22 on sequences, two at a time."""
    results = []
    tell(stage, 0, wanted)
    with ThreadPoolExecutor(_THREADS) as threads:
        for result in threads.map(lambda read: run_tests(read()), sequences):
            results.append(result)
            tell(stage, len(results), wanted)
    return judge(results, size)


def _conditioned(
    subject: Subject, settings: Settings, notes: list[str], tell: Progress
) -> Conditioned | None:
    conditioning = settings.conditioning
    if isinstance(conditioning, NoConditioning):
        return None
    size = settings.sequence_bits
    while size > LEAST_BITS and conditioning.bits_in(size) > subject.bits:
        size //= 2
    wanted = max(1, min(settings.sequences, subject.bits // max(1, conditioning.bits_in(size))))
    reading = Reading(subject)

    def read() -> np.ndarray:
        return np.unpackbits(conditioning.read(reading, size), count=size)

    try:
        first = read()
        estimates = min_entropy(first)
        # read here, in order; only the tests run beside each other
        following = (lambda bits=bits: bits for bits in (first, *(read() for _ in range(wanted - 1))))
        battery = _tested(following, wanted, size, f"SP 800-22 {conditioning.name}", tell)
    except StoreError as error:
        notes.append(f"The bits after {conditioning.name} were not assessed: {error}.")
        return None
    return Conditioned(
        conditioning.name, wanted * size, wanted * conditioning.bits_in(size), estimates, battery
    )


def _restarts(
    subject: Subject, matrix: np.ndarray | None, initial: float, notes: list[str]
) -> RestartTests | None:
    if matrix is None and isinstance(subject, StoreSubject) and subject.recordings >= _LEAST_RESTARTS:
        matrix = subject.starts(SAMPLES)
        notes.append(
            f"The restarts are the first {SAMPLES:,} bits of {len(matrix):,} recordings: the array was pulsed anew for "
            "each, but nothing says that its power was off in between."
        )
    if matrix is None:
        notes.append(
            "There were no restart tests: they take a matrix of 1,000 restarts by 1,000 bits (--restarts FILE), or a "
            f"store of {_LEAST_RESTARTS} recordings or more."
        )
        return None
    try:
        found = restart_tests(matrix, initial)
    except NotEnoughBits as error:
        notes.append(f"There were no restart tests: {error}.")
        return None
    if not found.standard:
        notes.append(
            f"The restarts are {found.rows:,} by {found.columns:,} bits, not the standard's 1,000 by 1,000."
        )
    return found


@takes(lags=Count())
def autocorrelation(bits: np.ndarray, lags: int) -> np.ndarray:
    """Compute the correlation of bits with those `1 … lags` later; float64, (lags,); its standard error is 1/√n."""
    centred = bits - float(bits.mean())
    power = float(centred @ centred)
    if power == 0:
        return np.full(lags, math.nan)
    return np.array([float(centred[lag:] @ centred[:-lag]) / power for lag in range(1, lags + 1)])

"""Training: ε-prediction, stretch by stretch, so that an interruption loses little and wastes few bits."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sampler._checkpoint import CARD, save_checkpoint
from sampler._errors import SamplerError
from sampler._locked import locked
from sampler.hook import hardware_noise
from sampler.sources import Source
from sampler.training._bill import TrainingBill, recorded_bits, stretch_bits, stretches, training_bill
from sampler.training._card import training_card
from sampler.training._curves import (
    Curves,
    check_tensorboard,
    draw_losses,
    open_curves,
    write_epochs,
)
from sampler.training._data import DataSet, load_data
from sampler.training._names import NamedSources, named_sources, names_of
from sampler.training._run import Run
from sampler.training._settings import TrainSettings, check_settings
from sampler.training._state import (
    STATE,
    State,
    check_state,
    load_state,
    recorded_settings,
    restored_run,
    save_state,
)


@dataclass(frozen=True)
class TrainProgress:
    """One finished step: its number from 1, of how many, the step's loss, seconds since the start.

    `epoch` from 1; `bits` of noise by name and `recorded` bits of stores, both since the start.
    """

    step: int
    steps: int
    loss: float
    seconds: float
    epoch: int
    bits: Mapping[str, int]
    recorded: int


Progress = Callable[[TrainProgress], None]


def train(
    settings: TrainSettings,
    sources: Mapping[str, Source] | Source | None = None,
    progress: Progress | None = None,
    *,
    data: DataSet | None = None,
    resume: bool = False,
    tensorboard: bool = False,
) -> Path:
    """Train a network and leave a checkpoint folder at `settings.out`.

    `data` are its pictures, the shipped digits by default. The random numbers have names (TRAINING_NAMES). `sources`
    gives one source for all of them, or by name; a name that it leaves out is drawn from a software stream of
    `settings.seed`; the card says which bits were whose. The loss is Ho et al. 2020 (arXiv 2006.11239), equation 14.

    Every `checkpoint_every` steps the checkpoint and the state are written. After an interruption, `resume=True` with
    the same arguments goes on from there (from the start, where there is no state yet; a complete training is left as
    it is): with software sources, the same threads and the same machine, to the same weights. A StoreSource is leased
    from one state to the next, and no bit is read twice.

    Raises SamplerError for settings that make no sense or differ from those of the training to go on with, where
    another training is at work in the folder, and where a source runs out of bits.
    """
    check_settings(settings)
    if tensorboard:
        check_tensorboard()
    pictures = _fitting(data, settings)
    with contextlib.ExitStack() as alone:
        if settings.out.is_dir():
            alone.enter_context(_alone_in(settings.out))
        _train(settings, sources, progress, pictures, resume, tensorboard, alone)
    return settings.out


def _train(
    settings: TrainSettings,
    sources: Mapping[str, Source] | Source | None,
    progress: Progress | None,
    pictures: DataSet,
    resume: bool,
    tensorboard: bool,
    alone: contextlib.ExitStack,
) -> None:
    begun = settings.out.is_dir()
    state = load_state(settings.out)
    if state is not None and not resume:
        raise SamplerError(f"{settings.out} holds an unfinished training: resume it, or name another folder")
    if state is not None:
        check_state(state, settings, pictures)
    elif resume and steps_done(settings) == settings.steps:
        return
    seed = _seed(settings, state)
    named = NamedSources(named_sources(sources, names_of(settings.architecture), seed))

    def begin() -> None:
        settings.out.mkdir(parents=True, exist_ok=True)
        if not begun:
            alone.enter_context(_alone_in(settings.out))

    _Training(settings, pictures, named, seed, state, progress).run(tensorboard, begin)


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; raises SamplerError where one is at work in it."""
    with locked(folder / ".lock", wait=False) as ours:
        if not ours:
            raise SamplerError(
                f"another training is at work in {folder}: wait for it, or name another folder"
            )
        yield


class _Training:
    """A training from its first stretch, or from a saved state, to its end."""

    def __init__(
        self,
        settings: TrainSettings,
        data: DataSet,
        named: NamedSources,
        seed: int,
        state: State | None,
        progress: Progress | None,
    ) -> None:
        self.settings, self.data, self.named, self.seed, self.state = settings, data, named, seed, state
        self.progress = progress
        self.done = state.done if state is not None else 0
        self.bill = self._bill(0)
        self.before = state.seconds if state is not None else 0.0
        self.started = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long the training has taken, interrupted time aside."""
        return self.before + time.monotonic() - self.started

    def run(self, tensorboard: bool, begin: Callable[[], None]) -> None:
        """Train to the end; `begin` makes the folder, once all bits are promised."""
        ahead = stretches(self.settings, None if self.state is None else self.done)
        with contextlib.ExitStack() as stack:
            for store, bits in self._promises(ahead).items():
                stack.enter_context(store.promised(bits))
            stack.enter_context(hardware_noise(self.named))
            begin()
            curves = stack.enter_context(
                open_curves(self.settings.out, list(self.named.bits), self.done, tensorboard)
            )
            run = (
                None if self.state is None else restored_run(self.state, self.settings, self.data, self.named)
            )
            for first, last in ahead:
                with self._leased(first, last):
                    if run is None:
                        run = Run(self.settings, self.data, self.named, None)
                    for _ in range(first, last):
                        run.step()
                        self._tell(run, curves)
                    self._save(run)
            if run is not None:
                self._finish(run)

    def _bill(self, done: int) -> TrainingBill:
        return training_bill(self.settings, self.named.sources, images=len(self.data), done=done)

    def _promises(self, ahead: list[tuple[int, int]]) -> dict:
        whole = dict.fromkeys(self.named.stores, 0)
        for first, last in ahead:
            wanted = stretch_bits(self.settings, len(self.data), first, last)
            for store, bits in recorded_bits(self.named, wanted).items():
                whole[store] += bits
        return {store: bits for store, bits in whole.items() if bits}

    @contextlib.contextmanager
    def _leased(self, first: int, last: int) -> Iterator[None]:
        wanted = stretch_bits(self.settings, len(self.data), first, last)
        with contextlib.ExitStack() as stack:
            for store, bits in recorded_bits(self.named, wanted).items():
                stack.enter_context(store.stretch(bits))
            yield

    def _tell(self, run: Run, curves: Curves) -> None:
        curves.write(run, self.seconds)
        if self.progress is not None:
            self.progress(
                TrainProgress(
                    run.done,
                    self.settings.steps,
                    run.losses[-1],
                    self.seconds,
                    run.epochs[-1].number,
                    dict(self.named.bits),
                    sum(self.named.recorded.values()),
                )
            )

    def _save(self, run: Run) -> None:
        # The state is on the disk before the lease is left: what a state builds on is never free again.
        save_state(run, self.data, self.seed, self.seconds)
        write_epochs(self.settings.out, run.epochs, list(self.named.bits))
        if run.done:
            self._checkpoint(run)

    def _checkpoint(self, run: Run) -> None:
        card = training_card(run, self.data, self.bill, self.seconds)
        save_checkpoint(self.settings.out, run.average, self.settings.architecture, card)

    def _finish(self, run: Run) -> None:
        self._checkpoint(run)
        told = {"data": self.data.name[:40], "steps": run.done, "batch": self.settings.batch}
        draw_losses(self.settings.out, run.losses, told)
        (self.settings.out / STATE).unlink()


def _fitting(data: DataSet | None, settings: TrainSettings) -> DataSet:
    a = settings.architecture
    data = data or load_data(size=a.image_size, channels=a.channels)
    if (data.size, data.channels) != (a.image_size, a.channels):
        raise SamplerError(
            f"{data.name} has pictures of {data.size} pixels and {data.channels} channels, and the network takes "
            f"{a.image_size} and {a.channels}: load them with the network's size and channels"
        )
    if data.label_count > a.labels:
        raise SamplerError(
            f"{data.name} has {data.label_count} labels and the network {a.labels}: give it as many"
        )
    return data


def _seed(settings: TrainSettings, state: State | None) -> int:
    if settings.seed is not None:
        return settings.seed
    return state.seed if state is not None else secrets.randbits(63)


def steps_done(settings: TrainSettings) -> int:
    """How many steps of this training its folder has behind it: all, if it is complete, or those of its saved state.

    Raises SamplerError where the folder holds the checkpoint of another training.
    """
    state = load_state(settings.out)
    if state is not None:
        return state.done
    path = settings.out / CARD
    if not path.exists():
        return 0
    try:
        training = json.loads(path.read_text(encoding="utf-8"))["training"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SamplerError(f"{path} is not the card of a training that could go on") from error
    wanted = {k: v for k, v in recorded_settings(settings).items() if k != "architecture"}
    for name, value in {**wanted, "steps_done": settings.steps}.items():
        if training.get(name) != value:
            raise SamplerError(
                f"{settings.out} holds the checkpoint of a training with {name} {training.get(name)}, not {value}, and "
                "no state to go on from: name another folder"
            )
    return settings.steps

"""Training: stretch by stretch, so that an interruption loses little and wastes few bits."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from sampler._checkpoint import CARD, save_checkpoint
from sampler._errors import SamplerError
from sampler._locked import locked
from sampler.hook import hardware_noise
from sampler.sources import StoreSource, Stream, entropy_errors
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
    sources: Mapping[str, Stream] | Stream | None = None,
    progress: Progress | None = None,
    *,
    data: DataSet | None = None,
    resume: bool = False,
    tensorboard: bool = False,
) -> Path:
    """Train a network and leave a checkpoint folder at `settings.out`.

    `data` are its pictures, the shipped digits by default. The random numbers have names (TRAINING_NAMES). `sources`
    gives one source for all of them, or by name; a name that it leaves out is drawn from a software stream of
    `settings.seed`; the card says which bits were whose. The loss is that of the process (`training._objective`).

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
    with contextlib.ExitStack() as stack:
        stack.enter_context(entropy_errors())
        begun = settings.out.is_dir()
        if begun:
            stack.enter_context(_alone_in(settings.out))
        state = load_state(settings.out)
        if state is not None and not resume:
            raise SamplerError(
                f"{settings.out} holds an unfinished training: resume it, or name another folder"
            )
        if state is not None:
            check_state(state, settings, pictures)
        elif resume and steps_done(settings) == settings.steps:
            return settings.out
        seed = _seed(settings, state)
        named = NamedSources(named_sources(sources, names_of(settings.architecture), seed))
        training = _Training(settings, pictures, named, seed, state, progress)
        for store, bits in training.promises().items():
            stack.enter_context(store.promised(bits))
        stack.enter_context(hardware_noise(named))
        settings.out.mkdir(parents=True, exist_ok=True)
        if not begun:
            stack.enter_context(_alone_in(settings.out))
        training.run(
            stack.enter_context(open_curves(settings.out, list(named.bits), training.done, tensorboard))
        )
    return settings.out


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder; raises SamplerError where one is at work in it."""
    with locked(folder / ".lock", wait=False) as ours:
        if not ours:
            raise SamplerError(
                f"another training is at work in {folder}: wait for it, or name another folder"
            )
        yield


@dataclass
class _Training:
    """A training from its first stretch, or from a saved state, to its end."""

    settings: TrainSettings
    data: DataSet
    named: NamedSources
    seed: int
    state: State | None
    progress: Progress | None
    started: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """How many steps had been made when it was gone on with."""
        return 0 if self.state is None else self.state.done

    @property
    def seconds(self) -> float:
        """How long the training has taken, interrupted time aside."""
        before = 0.0 if self.state is None else self.state.seconds
        return before + time.monotonic() - self.started

    @cached_property
    def ahead(self) -> list[tuple[int, int]]:
        """The stretches that are still to be made."""
        return stretches(self.settings, self.done)

    @cached_property
    def bill(self) -> TrainingBill:
        """What the whole training reads."""
        return training_bill(self.settings, self.named.sources, images=len(self.data))

    def promises(self) -> dict[StoreSource, int]:
        """The recorded bits that each store must promise."""
        whole: Counter[StoreSource] = Counter()
        for stretch in self.ahead:
            whole.update(self._recorded(*stretch))
        return whole

    def run(self, curves: Curves) -> None:
        """Train to the end."""
        run = None if self.state is None else restored_run(self.state, self.settings, self.data, self.named)
        for first, last in self.ahead:
            with contextlib.ExitStack() as leases:
                for store, bits in self._recorded(first, last).items():
                    leases.enter_context(store.stretch(bits))
                if run is None:
                    run = Run(self.settings, self.data, self.named, None)
                for _ in range(first, last):
                    run.step()
                    self._tell(run, curves)
                self._save(run)
        if run is not None:
            self._finish(run)

    def _recorded(self, first: int, last: int) -> dict[StoreSource, int]:
        """The recorded bits that each store must lease for a stretch."""
        return recorded_bits(self.named, stretch_bits(self.settings, len(self.data), first, last))

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

"""The loss curve as it grows: a CSV file, an event file of TensorBoard, and a figure at the end."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sampler._errors import SamplerError
from sampler._whole_files import write_whole

if TYPE_CHECKING:
    from sampler.training._run import Epoch, Run

LOSS_CSV = "loss.csv"
EPOCHS_CSV = "epochs.csv"
LOSS_FIGURE = "loss.png"
MEAN_OVER = 100  # steps of the moving mean


def moving_mean(losses: Sequence[float]) -> float:
    """The mean of the last losses, at most `MEAN_OVER` of them."""
    last = losses[-MEAN_OVER:]
    return sum(last) / len(last)


class Curves:
    """Writes each step as it is made: `loss.csv`, and TensorBoard's events where they are asked for.

    Columns: step and epoch from 1, loss, moving mean, seconds since the start, then bits of noise by name and
    recorded bits, both since the start.
    """

    def __init__(self, file: TextIO, events: Any) -> None:
        self._rows, self._file, self._events = csv.writer(file), file, events

    def write(self, run: Run, seconds: float) -> None:
        """Write the step that the run has just made."""
        loss, mean = run.losses[-1], moving_mean(run.losses)
        bits, recorded = run.named.bits, sum(run.named.recorded.values())
        self._rows.writerow(
            [run.done, run.epochs[-1].number, loss, mean, round(seconds, 3), *bits.values(), recorded]
        )
        self._file.flush()
        if self._events is not None:
            self._events.add_scalar("loss", loss, run.done)
            self._events.add_scalar("loss/moving mean", mean, run.done)
            self._events.add_scalar("rate", run.rate.get_last_lr()[0], run.done)
            for name, count in {**bits, "recorded": recorded}.items():
                self._events.add_scalar(f"bits/{name}", count, run.done)


@contextlib.contextmanager
def open_curves(out: Path, names: Sequence[str], done: int, tensorboard: bool) -> Iterator[Curves]:
    """Open the curves in folder `out`, cut back to what was `done`: an interruption leaves rows of lost steps."""
    path = out / LOSS_CSV
    _cut(path, done, ["step", "epoch", "loss", "moving mean", "seconds", *names, "recorded"])
    with contextlib.ExitStack() as stack:
        events = None
        if tensorboard:
            events = _event_writer(out, done)
            stack.callback(events.close)
        file = stack.enter_context(path.open("a", encoding="utf-8", newline=""))
        yield Curves(file, events)


def check_tensorboard() -> None:
    """Raise SamplerError where TensorBoard is not installed."""
    import importlib.util

    if importlib.util.find_spec("tensorboard") is None:
        raise SamplerError(
            "TensorBoard is not installed: install it by `pip install tensorboard`, or go without it "
            f"({LOSS_CSV} has the same curve)"
        )


def _event_writer(out: Path, done: int) -> Any:
    check_tensorboard()
    from torch.utils.tensorboard.writer import SummaryWriter

    return SummaryWriter(str(out), purge_step=done + 1 if done else None)


def _cut(path: Path, done: int, header: list[str]) -> None:
    kept = []
    if done and path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            # A row that a kill tore apart is of a step that is lost anyway, and lacks columns or its line's end.
            rows = [row for row in csv.reader(file) if len(row) == len(header) and row[0].isdecimal()]
        kept = [row for row in rows if int(row[0]) <= done]
    _write(path, [header, *kept])


def write_epochs(out: Path, epochs: Sequence[Epoch], names: Sequence[str]) -> None:
    """Write what each epoch took: its number, steps, bits of noise by name and recorded bits."""
    rows = [[e.number, e.steps, *(e.bits.get(name, 0) for name in names), e.recorded] for e in epochs]
    _write(out / EPOCHS_CSV, [["epoch", "steps", *names, "recorded"], *rows])


def _write(path: Path, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    write_whole(path, text.getvalue().encode())


def draw_losses(out: Path, losses: Sequence[float], told: Mapping[str, object]) -> None:
    """Draw the loss of every step, and its moving mean, as `loss.png`; `told` stands below the figure."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = range(1, len(losses) + 1)
    axes.plot(steps, losses, color="0.75", linewidth=0.6, label="each step")
    means = [moving_mean(losses[:step]) for step in steps]
    axes.plot(steps, means, color="C0", label=f"mean of the last {MEAN_OVER}")
    axes.set(xlabel="step", ylabel="ε-loss", yscale="log")
    axes.set_title(", ".join(f"{key}: {value}" for key, value in told.items()), fontsize=7)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(out / LOSS_FIGURE)

"""The drawing of the demo's pictures, while their bits are recorded."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from memtj._processes import Child
from memtj._progress import ProgressDisplay
from memtj.demo._settings import DemoSettings

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Store
    from memtj.demo._measured import Measured
    from sampler import Part, Picture, Samples, SourceSpec, Step

COLUMNS = 10
_RECORDER_END = 120.0  # s after the last picture
_BITS_WAIT = 180.0  # s that a microbatch may wait for its bits
_POLL_EVERY = 0.5  # s
_PREVIEW_EVERY = 4.0  # s


class _Ended(Exception):
    """The demo ends before its pictures are drawn."""


class Artist:
    """Draws the demo's pictures, with previews, and shows how recording and drawing go on."""

    def __init__(
        self, settings: DemoSettings, conditioning: "Conditioning", display: ProgressDisplay
    ) -> None:
        from sampler import SampleSettings, bill, load_checkpoint, shipped_checkpoint

        self.conditioning = conditioning
        display.say("loading the digit model")
        self.checkpoint = load_checkpoint(shipped_checkpoint())
        self.sampling = SampleSettings(steps=settings.steps, microbatch=settings.microbatch)
        self.bill = bill(self.checkpoint, self.sampling, settings.images, self.conditioning)
        display.say(f"bill: {self.bill}")
        self._out, self._display, self._beside = settings.out, display, settings.beside
        self._labels = [index % 10 for index in range(settings.images)]
        self._sampling_task = display.task("sampling", len(self._labels), "pictures")
        self._shown: dict[int, Picture] = {}
        self._previewed = self._began = 0.0
        # Of the threads that draw: the files and what is shown, the end that is asked for, pictures done of each part.
        self._lock, self._ended, self._done = threading.RLock(), threading.Event(), dict[int, float]()

    def draw(
        self, store: "Store", recorder: Child, meanwhile: Callable[[], "Measured"]
    ) -> tuple["Samples", dict[str, Any], "Measured"]:
        """Draw all pictures with bits that the recorder is recording; gives its outcome too, and that of `meanwhile`.

        This is called once all bits are recorded. As many microbatches are drawn beside each other as `settings` says.
        """
        import torch

        from sampler import Samples, SourceSpec
        from sampler.hook import threads_noise

        recording = self._display.task("recording", self.bill.recorded, "bit")
        threads = torch.get_num_threads()
        with (
            threads_noise(),
            ThreadPoolExecutor(
                self._beside, "draw", torch.set_num_threads, (max(1, threads // self._beside),)
            ) as pool,
        ):
            parts = [
                pool.submit(self._draw_part, store, part)
                for part in self._parts(SourceSpec("store", store=str(store.path)), self.conditioning)
            ]
            try:
                outcome = _outcome(recorder, parts, lambda: recording.advance_to(store.accounts().recorded))
                found, drawn = meanwhile(), [part.result() for part in parts]
            except BaseException:
                self._ended.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
            finally:
                torch.set_num_threads(threads)
        whole = Samples(
            [picture for part in drawn for picture in part.pictures],
            time.monotonic() - self._began,
            sum(part.cpu_seconds for part in drawn),
            sum(part.noise_cpu_seconds for part in drawn),
        )
        return whole, outcome, found

    def _parts(self, source: "SourceSpec", conditioning: "Conditioning | None" = None) -> "list[Part]":
        from sampler import parts_of

        return parts_of(self.checkpoint, self.sampling, enumerate(self._labels), source, conditioning)

    def _draw_part(self, store: "Store", part: "Part") -> "Samples":
        """Draw a microbatch, with a lease of its own."""
        from sampler import LeasedBits, draw_parts

        def progress(done: float) -> None:
            if self._ended.is_set():
                raise _Ended
            with self._lock:
                self._done[part.numbers[0]] = done
                self._sampling_task.advance_to(sum(self._done.values()))

        bits = LeasedBits(store, lambda bits: self._lease(store, bits))
        return draw_parts([part], bits, progress=progress, watch=self._preview, finished=self._finished)

    def _lease(self, store: "Store", bits: int) -> "Lease":
        from entropy import NotEnoughBits

        deadline = time.monotonic() + _BITS_WAIT
        while not self._ended.is_set():
            try:
                lease = store.lease(bits, purpose="demo", wait=_POLL_EVERY)
            except NotEnoughBits:
                if time.monotonic() > deadline:
                    raise
            else:
                self._began = self._began or time.monotonic()
                return lease
        raise _Ended

    def draw_baseline(self) -> bytes:
        """Draw the same labels with seeded software noise; returns the sheet as PNG."""
        from sampler import SourceSpec, draw_parts, made_bits, save_sheet

        task = self._display.task("software noise", len(self._labels), "pictures")
        parts = self._parts(SourceSpec("software"))
        pictures = draw_parts(parts, made_bits, progress=task.advance_to).pictures
        return save_sheet(pictures, self._out / "baseline.png", columns=COLUMNS).read_bytes()

    def _finished(self, pictures: "Sequence[Picture]") -> None:
        from sampler import save_pictures

        save_pictures(pictures, self._out / "pictures")
        with self._lock:
            self._shown.update({picture.index: picture for picture in pictures})
            self._save_sheet()

    def _preview(self, step: "Step") -> None:
        from sampler import Picture

        with self._lock:
            for index, guess in zip(step.numbers, step.guess, strict=True):
                self._shown[index] = Picture(index, self._labels[index], guess, {})
            if time.monotonic() - self._previewed > _PREVIEW_EVERY:
                self._previewed = time.monotonic()
                self._save_sheet()

    def _save_sheet(self) -> None:
        from sampler import save_sheet

        shown = [self._shown[index] for index in sorted(self._shown)]
        # Written beside and moved into place: a viewer that follows the preview never sees half a file.
        whole = save_sheet(shown, self._out / "images-new.png", columns=COLUMNS)
        whole.replace(self._out / "images.png")


def _outcome(recorder: Child, parts: "list[Future[Samples]]", look: Callable[[], None]) -> dict[str, Any]:
    """Wait for what the recorder says in the end, looking meanwhile; raises what ended it, or a part, before."""
    while not all(part.done() for part in parts):
        look()
        outcome = recorder.answer(_POLL_EVERY)
        if outcome is not None:
            look()
            return outcome
        for part in parts:
            if part.done():
                part.result()
    return recorder.result(_RECORDER_END)

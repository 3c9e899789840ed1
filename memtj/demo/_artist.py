"""The drawing of the demo's pictures, while their bits are recorded."""

import time
from typing import TYPE_CHECKING

from memtj._processes import Child
from memtj._progress import ProgressDisplay
from memtj.demo._settings import DemoSettings

if TYPE_CHECKING:
    import torch

    from entropy import Store
    from memtj._drawing import Drawn
    from sampler import Picture

COLUMNS = 10
_BITS_WAIT = 180.0  # s that a microbatch may wait for its bits
_POLL_EVERY = 0.5  # s
_PREVIEW_EVERY = 4.0  # s


class Artist:
    """Draws the demo's pictures, with previews, and shows how recording and drawing go on."""

    def __init__(self, settings: DemoSettings, display: ProgressDisplay) -> None:
        from entropy import conditioning_from_name
        from sampler import SampleSettings, bill, load_checkpoint, shipped_checkpoint

        self.conditioning = conditioning_from_name(settings.conditioning)
        display.say("loading the digit model")
        self.checkpoint = load_checkpoint(shipped_checkpoint())
        self.sampling = SampleSettings(steps=settings.steps, microbatch=settings.microbatch)
        self.bill = bill(self.checkpoint, self.sampling, settings.images, self.conditioning)
        display.say(f"bill: {self.bill}")
        self._out, self._display = settings.out, display
        self._labels = [index % 10 for index in range(settings.images)]
        self._shown: dict[int, Picture] = {}
        self._previewed = time.monotonic()
        self._polled = 0.0

    def draw(self, store: "Store", recorder: Child) -> "Drawn":
        """Draw all pictures with bits that the recorder is recording."""
        from entropy import Lease, NotEnoughBits
        from memtj._drawing import Drawing
        from sampler import save_pictures

        recording = self._display.task("recording", self.bill.recorded, "bit")
        sampling = self._display.task("sampling", len(self._labels), "pictures")

        def poll() -> None:
            if time.monotonic() - self._polled > _POLL_EVERY:
                self._polled = time.monotonic()
                recorder.check()
                recording.advance_to(store.accounts().recorded)

        def progress(done: float) -> None:
            sampling.advance_to(done)
            poll()

        def lease(bits: int) -> Lease:
            deadline = time.monotonic() + _BITS_WAIT
            while True:
                poll()
                try:
                    return store.lease(bits, purpose="demo", wait=_POLL_EVERY)
                except NotEnoughBits:
                    if time.monotonic() > deadline:
                        raise

        def finished(pictures: "list[Picture]") -> None:
            save_pictures(pictures, self._out / "pictures")
            self._shown.update({picture.index: picture for picture in pictures})
            self._save_sheet()

        drawing = Drawing(self.checkpoint, self._labels, self.sampling, progress, self._preview, finished)
        drawn = drawing.from_leases(store, lease, self.conditioning)
        self._polled = 0.0
        poll()
        return drawn

    def draw_baseline(self) -> bytes:
        """Draw the same labels with seeded software noise; returns the sheet as PNG."""
        from memtj._drawing import Drawing
        from sampler import SoftwareSource, save_sheet

        task = self._display.task("software noise", len(self._labels), "pictures")
        drawing = Drawing(self.checkpoint, self._labels, self.sampling, task.advance_to)
        pictures = drawing.from_source(SoftwareSource(0)).pictures
        return save_sheet(pictures, self._out / "baseline.png", columns=COLUMNS).read_bytes()

    def _preview(self, first: int, step: int, guesses: "torch.Tensor") -> None:
        from sampler import Picture

        if time.monotonic() - self._previewed < _PREVIEW_EVERY:
            return
        self._previewed = time.monotonic()
        for index, guess in enumerate(guesses, first):
            self._shown[index] = Picture(index, self._labels[index], guess * 2 - 1, {})
        self._save_sheet()

    def _save_sheet(self) -> None:
        from sampler import save_sheet

        shown = [self._shown[index] for index in sorted(self._shown)]
        # Written beside and moved into place: a viewer that follows the preview never sees half a file.
        whole = save_sheet(shown, self._out / "images-new.png", columns=COLUMNS)
        whole.replace(self._out / "images.png")

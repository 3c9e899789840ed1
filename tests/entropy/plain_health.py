"""The two health tests as SP 800-90B section 4.4 writes them, one sample after the other: what ours must equal."""

from dataclasses import dataclass


@dataclass
class PlainTests:
    """Both tests of one sequence."""

    repetition: int
    proportion: int
    window: int
    samples: int = 0
    ones: int = 0
    changes: int = 0
    runs: int = 0
    windows: int = 0
    last: int = -1
    run: int = 0
    first: int = -1
    equal: int = 0
    seen: int = 0  # in the window

    def add(self, sample: int) -> tuple[bool, bool]:
        """Take a sample; gives which of the two tests fails at it."""
        self.samples += 1
        self.ones += sample
        self.changes += self.last not in (-1, sample)
        self.run = self.run + 1 if sample == self.last else 1
        self.last = sample
        self.runs += self.run == self.repetition
        if self.seen == 0:
            self.first, self.equal = sample, 0
        self.seen += 1
        if sample == self.first:
            self.equal += 1
            self.windows += self.equal == self.proportion
        failed = self.run >= self.repetition, self.equal >= self.proportion
        if self.seen == self.window:
            self.seen = 0
        return failed

    @property
    def totals(self) -> tuple[int, ...]:
        """Everything that is counted."""
        return self.samples, self.ones, self.changes, self.runs, self.windows

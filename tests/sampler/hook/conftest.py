"""A hook that is opened once for many draws, each from the start of a stream."""

from collections.abc import Iterator

import pytest

from sampler import SoftwareSource, hardware_noise


class SwitchedSource(SoftwareSource):
    """A software source that starts again, from any seed: opening a hook for each draw would take longer."""

    def start(self, seed: int) -> None:
        """Go to the first bit of a seed's stream."""
        super().__init__(seed)


@pytest.fixture
def switched() -> Iterator[SwitchedSource]:
    """The source of a hook that is on while the test lasts."""
    source = SwitchedSource(0)
    with hardware_noise(source):
        yield source

"""The simulated lab in a process of its own, beside a benchmark."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks._python import python
from memtj._example_bench import example_bench


@contextlib.contextmanager
def lab() -> Iterator[tuple[Path, str]]:
    """Serve the lab until the context is left; gives a bench file for it, alone in a new folder, and the resource."""
    with (
        tempfile.TemporaryDirectory() as folder,
        python("-m", "memtj", "lab", "--json", "--exit-with-parent") as ready,
    ):
        resource = json.loads(ready)["resources"]["board"]
        bench = Path(folder) / "bench.toml"
        bench.write_text(example_bench(resource), encoding="utf-8")
        yield bench, resource

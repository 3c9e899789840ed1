"""The shipped example bench, pointed at another resource."""

import re
from pathlib import Path

import instruments

_RESOURCE = re.compile(r'^resource = ".*"', re.MULTILINE)


def example_bench(resource: str) -> str:
    """Return the example bench file with `resource` as the VISA resource of its board."""
    text = Path(instruments.__file__).with_name("example_bench.toml").read_text(encoding="utf-8")
    changed, count = _RESOURCE.subn(lambda _: f'resource = "{resource}"', text)
    assert count == 1, "the example bench has one instrument"
    return changed

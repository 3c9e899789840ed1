"""How the tests are run: limits that follow the machine, one command everywhere, a list of what became slow."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.timeout(77)
def test_a_limit_of_its_own_is_scaled_as_that_of_all(
    request: pytest.FixtureRequest, patience: Callable[[float], float]
) -> None:
    limit = request.node.get_closest_marker("timeout")
    assert limit.args == (patience(77),)
    assert patience(20) == 2 * patience(10) >= 20


def test_waiting_for_what_never_comes_ends(
    monkeypatch: pytest.MonkeyPatch, wait_until: Callable[..., None]
) -> None:
    monkeypatch.setenv("MEMTJ_TEST_SLOWNESS", "3")
    looks: list[int] = []
    with pytest.raises(AssertionError, match="no bus"):
        wait_until(lambda: looks.append(1), 0.02, "no bus")
    assert len(looks) > 1
    wait_until(lambda: True, 0)


def test_readme_and_contributing_run_the_same_command() -> None:
    readme = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)[1]
    command = readme[readme.index(".venv/bin/pytest") :].strip()
    assert command in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert f"{command} -m slow" in ci, "the slow tests are shared out alike"
    assert ci.count("--durations=40") == 2


def test_what_became_slow_is_listed_and_marked() -> None:
    cases = re.findall(
        r"^\| `(\S+?)::(\w+).*?` \| ([\d.]+) \|", (ROOT / "tests" / "slow-cases.md").read_text("utf-8"), re.M
    )
    assert 1 <= len(cases) <= 100
    for file, name, seconds in cases:
        text = (ROOT / file).read_text("utf-8")
        found = re.search(rf"((?:^@.*\n|^ .*\n|^[\])].*\n)*)^def {name}\(", text, re.M)
        assert found is not None, f"{file} has no {name}"
        assert "slow" in found[1], f"{name} is listed and not marked"
        assert float(seconds) > 0

"""Seeds of the statistical tests: one by default, as many as `--physics-seeds` asks for."""

import pytest


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--physics-seeds")))

"""Seeds of the statistical tests, one by default, as many as `--physics-seeds` asks for; set C and changes to it."""

import pytest

from mock_hw.physics import DeviceParameters, load_device


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", range(metafunc.config.getoption("--physics-seeds")))


@pytest.fixture(scope="session")
def c() -> DeviceParameters:
    return load_device("C")


def changed(parameters: DeviceParameters, section: str, **values: object) -> DeviceParameters:
    return parameters.model_copy(update={section: getattr(parameters, section).model_copy(update=values)})

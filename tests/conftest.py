"""What all tests need."""

import signal

import pytest

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: the tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--physics-seeds",
        type=int,
        default=1,
        help="seeds with which each statistical test of the device physics runs",
    )

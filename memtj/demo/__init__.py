"""The demo: the whole path from a pulse to a page of pictures, in one call."""

from memtj.demo._run import run_demo
from memtj.demo._settings import DEFAULT_DEVICE, DemoSettings

__all__ = ["DEFAULT_DEVICE", "DemoSettings", "run_demo"]

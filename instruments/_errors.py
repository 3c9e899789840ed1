"""What can go wrong at the bench; every message names file and key, or instrument, and a remedy."""


class BenchError(Exception):
    """The bench cannot be used as asked: a wrong file, a wrong instrument, or a value above a limit."""


class Terminated(KeyboardInterrupt):
    """SIGTERM reached the process while a bench was open; unwinds it as Ctrl-C does."""

"""The error of the simulated laboratory."""


class LabError(Exception):
    """The simulated laboratory cannot be had; the message says why and what to do."""

"""The error of the command line itself."""


class CommandError(Exception):
    """A command cannot do what was asked; the message is one sentence that says what to do."""

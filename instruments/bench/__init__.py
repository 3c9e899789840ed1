"""The bench: its file, its instruments in their roles, the limits, and the way to safety."""

"""The bench: roles, limits, the array, and the procedures that pulse it and read it."""

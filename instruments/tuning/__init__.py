"""Tuning an array: what each cell is, and the pulse at which it switches as wanted."""

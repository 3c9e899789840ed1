"""Faults of a simulated board: what is wrong with its answers, its blocks, its surroundings, its cells."""

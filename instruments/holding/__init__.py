"""Holding the working point of a recording against drift."""

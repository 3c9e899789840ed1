"""The front door: command line, demo and reports."""

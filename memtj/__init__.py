"""The front door: command line, demo and reports over the bench, the store and the sampler."""

__version__ = "0.1.0"

"""Measure whether a transformer's attention heads behave like a wavelet transform."""

from importlib.metadata import version

__version__ = version("attention-wavelets")

__all__ = ["__version__"]

"""Signals with a known lack of structure, measured by the same code, and what theory bounds."""

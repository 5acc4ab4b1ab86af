"""Intervals that count what is independent: documents, not heads or sequences."""

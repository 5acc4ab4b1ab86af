"""Checks of what the paper's tables and formulas say, as pure functions."""

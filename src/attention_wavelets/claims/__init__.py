"""Tests of claims: from tables of measures to verdicts. Pure functions on arrays."""

"""Numbers computed from signals: pure functions, float64 inside, the last axis is position."""

"""Frozen encoders, a kind a file; `registry` has the way from a view to its encoder."""

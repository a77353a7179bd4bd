"""The adapter to DVC, and the caches that a team shares through it."""

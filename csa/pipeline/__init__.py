"""The stages, and the workspace they work in."""

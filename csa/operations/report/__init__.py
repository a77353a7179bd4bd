"""The report of a run and of a comparison: what the pages show, gathered."""

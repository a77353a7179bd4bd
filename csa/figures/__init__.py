"""Figures and sheets that people look at."""

"""Canonical Similarity Analysis: two frozen unimodal encoders as one multimodal model."""

__version__ = "0.1.0"

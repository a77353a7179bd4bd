"""What is measured on held-out pairs: (alignment, features) -> metrics and a per-query table."""

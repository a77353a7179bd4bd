"""One reader a file; each turns one layout on disk into the pairs table."""

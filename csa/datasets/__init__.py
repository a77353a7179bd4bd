"""Data sets: one reader a layout, all of which give the same pairs table."""

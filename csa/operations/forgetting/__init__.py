"""Taking an item out of everything."""

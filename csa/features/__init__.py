"""Features by content: computed once, cached by item, written as shards."""

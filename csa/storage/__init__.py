"""Files: whole or not at all, and tensors with a header."""

"""Documentation, and the generator of its pages that are made from the code."""

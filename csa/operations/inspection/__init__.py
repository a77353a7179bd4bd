"""What is there, what it would cost, where it came from. Nothing here changes anything."""

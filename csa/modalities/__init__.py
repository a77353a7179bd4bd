"""What an item is, a modality a file: its suffixes, how it is decoded and shown."""

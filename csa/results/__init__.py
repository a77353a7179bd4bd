"""What the stages wrote, with types: the shapes of their JSON files, and how numbers are said."""

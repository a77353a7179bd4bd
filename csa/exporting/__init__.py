"""What a project holds, in the formats of other tools."""

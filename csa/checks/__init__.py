"""Whether data may be fitted on, and what moved since the champion was."""

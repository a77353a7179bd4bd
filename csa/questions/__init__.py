"""What a person asks of a fitted workspace. These read, and are no stages."""

"""Three views and more, and missing ones. No stage of the pipeline uses it."""

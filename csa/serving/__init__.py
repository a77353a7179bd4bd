"""The champion over HTTP: a page and an API, one process."""

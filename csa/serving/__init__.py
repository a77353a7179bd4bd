"""The champion over HTTP."""

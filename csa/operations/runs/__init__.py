"""Run records in plain files, and DuckDB made from them."""

"""The DuckDB database of results: its connection, schema, rows, store, archive and history."""

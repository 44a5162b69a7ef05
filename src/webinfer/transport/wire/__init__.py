"""The wire protocol, without I/O: bytes in, typed messages out. docs/reference/wire.md is its specification."""

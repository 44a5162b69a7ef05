"""The atlas: which operators browsers compute rightly, by operator, version, types and attributes."""

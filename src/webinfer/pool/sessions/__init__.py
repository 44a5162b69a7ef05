"""Sessions that are wanted: made known, created on lanes, kept where they belong, released."""

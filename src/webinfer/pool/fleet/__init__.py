"""The browsers and lanes that are up, and which sessions belong where."""

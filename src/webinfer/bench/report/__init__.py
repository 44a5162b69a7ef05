"""Benchmarks and comparisons as text: tables of figures, Markdown, JUnit's XML, and GitHub's summary."""

"""Commands that measure and report: bench, compare, history, report, and the guide's scripts."""

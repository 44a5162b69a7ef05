"""The tuner: which candidates there are, the contest between them, and its results."""

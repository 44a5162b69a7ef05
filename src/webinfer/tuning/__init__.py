"""The tuner: the candidates, the contest between them, and its results."""

"""The measurement: contestants that take turns, rounds and launches, intervals, models that run at once."""

"""What happened, recorded: a listener of the pool's events, its counters, database and reports."""

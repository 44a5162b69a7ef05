"""Decisions, pure: state in, plan out. No I/O, no clock, no chance; callers pass `now`."""

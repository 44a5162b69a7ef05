"""Requests and sessions, scheduled onto the lanes of a fleet of browsers."""

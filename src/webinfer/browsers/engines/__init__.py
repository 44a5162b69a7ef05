"""One module for each engine: its profile and its command line for a URL."""

"""Processes of browsers: started, guarded, with a profile of their own, and ended."""

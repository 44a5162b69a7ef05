"""What `webinfer explain` shows: where nodes and time go, and why."""

"""What lives as long as its owner: tasks in the background, and what is bound to a process."""

"""Native runs that end: in a process with limits of time and memory, and kept by the model's hash."""

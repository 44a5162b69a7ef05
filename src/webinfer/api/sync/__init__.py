"""The synchronous face: the names of the asynchronous one, for any thread, over an event loop in a thread."""

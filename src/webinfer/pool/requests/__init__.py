"""Requests, batches and queues, with their deadlines."""

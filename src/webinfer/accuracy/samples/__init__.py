"""Requests that are made up for a model, and what is in them."""

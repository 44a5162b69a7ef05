"""Counts and histograms of what happened, and the listeners that keep them."""

"""The commands that say whether answers are right."""

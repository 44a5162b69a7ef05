"""What the commands show that say whether answers are right."""

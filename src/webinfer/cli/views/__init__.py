"""What the commands print: one module for each command's result."""

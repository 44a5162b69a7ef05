"""What commands print to, and how it looks: the terminal, progress, layout and units."""

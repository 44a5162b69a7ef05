"""Which browsers and graphics devices this machine has, and in which versions."""

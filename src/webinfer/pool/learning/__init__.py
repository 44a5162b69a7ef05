"""What is learned of places and lanes while requests are served."""

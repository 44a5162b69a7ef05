"""What a lane is given: graphs prepared for a backend, proven equivalent, and cut into stages."""

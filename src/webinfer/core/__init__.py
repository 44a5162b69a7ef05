"""What every room may use: errors, options, tensors, capabilities, the cache."""

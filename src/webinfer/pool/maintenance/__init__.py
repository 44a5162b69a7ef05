"""What keeps a fleet healthy: scaling, recycling, throughput."""

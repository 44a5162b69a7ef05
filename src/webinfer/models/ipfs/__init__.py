"""IPFS: models named by the hash of their contents, verified block by block, from whoever has them."""

"""What is kept of IPFS on this machine: blocks, files written from them, archives."""

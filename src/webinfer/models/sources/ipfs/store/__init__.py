"""What is kept of IPFS on this machine: blocks, and files written from them."""

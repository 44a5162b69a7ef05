"""Commands about browsers and models: install, pull, quantize, models, ipfs."""

"""What tools need beside an accelerator. The command line uses nothing below these.

``browsers`` finds and installs browsers. ``atlas`` knows which operators are right where. ``models`` names, fetches,
quantizes and removes models. ``native`` runs them in onnxruntime and compares outputs. ``results`` reads databases and
finds running accelerators. ``ipfs`` publishes and fetches models by hash. ``references`` and ``logs`` are for a quick
start.
"""

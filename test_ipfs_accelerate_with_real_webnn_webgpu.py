"""The guide's test by its own name, for `python test_ipfs_accelerate_with_real_webnn_webgpu.py`."""

from __future__ import annotations

from webinfer.cli.commands.benchmarks.guide import run_acceleration_test

if __name__ == "__main__":
    run_acceleration_test()

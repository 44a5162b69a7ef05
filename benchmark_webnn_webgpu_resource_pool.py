"""The guide's benchmark by its own name, for `python benchmark_webnn_webgpu_resource_pool.py`."""

from __future__ import annotations

from webinfer.cli.commands.benchmarks.guide import benchmark_resource_pool

if __name__ == "__main__":
    benchmark_resource_pool()

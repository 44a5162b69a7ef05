"""What every room may use: errors, options, tensors, capabilities, the cache."""

import functools


@functools.cache
def package_version() -> str:
    """Return the version of webinfer that is installed."""
    from importlib import metadata  # late: it takes some milliseconds, and few callers need it

    return metadata.version("webinfer")

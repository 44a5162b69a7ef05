"""Browsers of this machine: found, described, installed."""

from __future__ import annotations

from webinfer.browsers.discovery.find import GETTING, Installation, find, find_all, places, version
from webinfer.browsers.discovery.gpus import uses_gpu
from webinfer.browsers.install.download import install_chromium
from webinfer.pool.plan.preferences import STANDINS

__all__ = [
    "GETTING",
    "STANDINS",
    "Installation",
    "find",
    "find_all",
    "install_chromium",
    "places",
    "uses_gpu",
    "version",
]

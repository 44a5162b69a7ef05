"""``python -m webinfer``: the command line."""

from __future__ import annotations

from webinfer.cli import main

if __name__ == "__main__":
    main()

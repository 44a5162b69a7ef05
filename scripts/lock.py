"""Write requirements-dev.lock: exact versions of this project's needs and its group `dev`, for every Python.

Run by `make lock`. Resolves without installing anything.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from uv import find_uv_bin

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
HEAD = "# Exact versions of everything that `make` installs, for each Python and platform. Written by `make lock`.\n"


def main() -> None:
    """Resolve anew and replace the lock."""
    command = [find_uv_bin(), "pip", "compile", "pyproject.toml", "--group", "dev", "--extra", "bench", "--universal"]
    plain = ["--python-version", "3.11", "--no-emit-index-url", "--no-annotate", "--no-header", "--quiet"]
    done = subprocess.run([*command, *plain], check=True, capture_output=True, text=True, cwd=ROOT)
    LOCK.write_text(HEAD + done.stdout, encoding="utf-8")
    print(f"{LOCK.name}: {len(done.stdout.splitlines())} packages")


if __name__ == "__main__":
    main()

"""Write requirements-dev.lock: what an empty environment gets when it installs this project with its extra `dev`.

Run by `make lock`. Installs into a temporary environment, so that the one in use stays as it is.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements-dev.lock"
HEAD = "# Exact versions of everything that `make` installs. Written by `make lock`, on Python {version}.\n"


def main() -> None:
    """Resolve anew and replace the lock."""
    with tempfile.TemporaryDirectory(prefix="webinfer-lock-") as directory:
        venv.create(directory, with_pip=True)
        python = Path(directory, "Scripts" if sys.platform == "win32" else "bin", "python")
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", f"{ROOT}[dev]", "--no-warn-script-location"], check=True
        )
        frozen = subprocess.run([python, "-m", "pip", "freeze"], check=True, capture_output=True, text=True).stdout
    pins = [line for line in frozen.splitlines() if "==" in line and not line.startswith(("#", "webinfer"))]
    LOCK.write_text(HEAD.format(version=f"{sys.version_info[0]}.{sys.version_info[1]}") + "\n".join(pins) + "\n")
    print(f"{LOCK.name}: {len(pins)} packages")


if __name__ == "__main__":
    main()

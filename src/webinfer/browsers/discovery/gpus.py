"""Which GPUs the operating system lists, and whether a browser's processes use one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_DEVICES = ("/dev/dri/", "/dev/nvidia", "/dev/dxg", "/dev/kgsl", "/dev/mali")


def list_gpus(root: Path = Path("/")) -> tuple[str, ...] | None:
    """Return the GPUs that the kernel lists, with PCI numbers and drivers; ``None`` where we cannot ask.

    Only Linux lists them in files. On macOS and Windows the browser's own words must do.

    Args:
        root: Root of the file system.
    """
    if sys.platform != "linux":
        return None
    gpus = [*_cards(root / "sys/class/drm"), *_nvidia(root / "proc/driver/nvidia")]
    if not gpus and (root / "dev/dxg").exists():
        gpus.append("the host's GPU by way of WSL (/dev/dxg)")
    return tuple(gpus)


def uses_gpu(pid: int) -> tuple[str, ...] | None:
    """Return what a browser's processes hold of GPUs: device files, and time on an engine where the driver counts it.

    Args:
        pid: Its main process; 0 for one that is not ours.

    Returns:
        Nothing where they hold none; ``None`` where that is not known.
    """
    if sys.platform != "linux" or not pid:
        return None
    held: dict[str, None] = {}
    try:
        main = psutil.Process(pid)
        processes = [main, *main.children(recursive=True)]
    except psutil.Error:
        return None
    for process in processes:
        held.update(dict.fromkeys(_held(Path("/proc", str(process.pid)))))
    return tuple(held)


def _cards(drm: Path) -> Iterator[str]:
    for card in sorted(drm.glob("card[0-9]*")):
        device = card / "device"
        if "-" in card.name or not device.exists():  # card0-HDMI-A-1 is an outlet
            continue
        number = ":".join(_read(device / part).removeprefix("0x") for part in ("vendor", "device"))
        driver = (device / "driver").resolve().name if (device / "driver").exists() else "no driver"
        yield f"PCI {number} ({driver})" if number != ":" else f"{card.name} ({driver})"


def _nvidia(place: Path) -> Iterator[str]:
    version = next((word for word in _read(place / "version").split() if word[:1].isdigit() and "." in word), "")
    for information in sorted(place.glob("gpus/*/information")):
        model = next(
            (line.partition(":")[2].strip() for line in _read(information).splitlines() if "Model" in line), ""
        )
        yield f"{model or 'an NVIDIA GPU'} (nvidia {version})"


def _held(process: Path) -> Iterator[str]:
    with contextlib.suppress(OSError):  # it ended, or is another user's
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = str(entry.readlink())
                if not target.startswith(_DEVICES):
                    continue
                yield f"holds {target}"
                for line in _read(process / "fdinfo" / entry.name).splitlines():
                    name, _, spent = line.partition(":")
                    if name.startswith("drm-engine-") and spent.split()[:1] not in ([], ["0"]):
                        yield f"has used its {name.removeprefix('drm-engine-')} engine"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""

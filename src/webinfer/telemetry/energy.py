"""What the processors' own meters say: Linux shows them as RAPL zones, where there are any and they may be read."""

from __future__ import annotations

from pathlib import Path

ZONES = Path("/sys/class/powercap")


class Meter:
    """Joules that the processors of this machine took, all programs together.

    Args:
        place: Where the system shows its zones. Only whole packages count: what is below one is part of it, and the
            zone of the platform holds them all.
    """

    def __init__(self, place: Path = ZONES) -> None:
        self._zones = [
            zone for zone in sorted(place.glob("intel-rapl:*")) if _text(zone / "name").startswith("package")
        ]
        self._last = self._read()

    def spent(self) -> float | None:
        """Return the joules since the last call, or since the meter was made; ``None`` where nothing can be read."""
        before, self._last = self._last, self._read()
        if before is None or self._last is None:
            return None
        pairs = zip(self._zones, before, self._last, strict=True)
        return sum(_difference(zone, old, new) for zone, old, new in pairs) / 1e6

    def _read(self) -> list[int] | None:
        """Return the zones' counters, in microjoules."""
        values = [_text(zone / "energy_uj") for zone in self._zones]
        return [int(value) for value in values] if values and all(values) else None


def _difference(zone: Path, old: int, new: int) -> int:
    """Return by how much a counter grew; it starts again from zero after its range."""
    return new - old if new >= old else new - old + int(_text(zone / "max_energy_range_uj") or 0)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError:  # counters may be read by root alone
        return ""

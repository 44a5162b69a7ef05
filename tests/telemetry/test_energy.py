"""Energy is what the processors' meters went on by; without meters there is none."""

from __future__ import annotations

from pathlib import Path

from webinfer.telemetry.energy import Meter


def zone(place: Path, name: str, kind: str) -> Path:
    made = place / name
    made.mkdir()
    (made / "name").write_text(f"{kind}\n")
    (made / "max_energy_range_uj").write_text("10000000\n")
    (made / "energy_uj").write_text("9000000\n")
    return made / "energy_uj"


def test_packages_are_summed_and_a_counter_may_start_again(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "intel-rapl:0", "package-0"), zone(tmp_path, "intel-rapl:1", "package-1")
    for name, part in (("intel-rapl:0:0", "core"), ("intel-rapl:2", "psys")):
        zone(tmp_path, name, part)
    meter = Meter(tmp_path)
    first.write_text("9500000\n")
    second.write_text("500000\n")
    for part in ("intel-rapl:0:0", "intel-rapl:2"):
        (tmp_path / part / "energy_uj").write_text("9900000\n")
    assert meter.spent() == 0.5 + 1.5
    assert meter.spent() == 0.0


def test_machine_without_meters_or_with_closed_ones_has_no_energy(tmp_path: Path) -> None:
    assert Meter(tmp_path).spent() is None
    counter = zone(tmp_path, "intel-rapl:0", "package-0")
    meter = Meter(tmp_path)
    counter.unlink()
    assert meter.spent() is None

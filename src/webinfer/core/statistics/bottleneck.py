"""What limits a pool's throughput, judged by what was busy while it worked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

_FULL = 0.85  # of what there is: above, little is left to gain
_NOTABLE = 0.3  # share of the requests' time above which it counts as much


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupancy:
    """What was busy at the highest concurrency.

    Attributes:
        cores: Share of the machine's cores that worked, from 0 to 1.
        python: Cores that this process took, which has one thread for the bridge: at most about 1.
        lanes: Share of the lanes' time in which they ran something, from 0 to 1.
        transfer: Share of the requests' time that was neither queue nor run.
        hardware: The backend computes on a GPU or NPU.
    """

    cores: float
    python: float
    lanes: float
    transfer: float
    hardware: bool = False


@dataclass(frozen=True, slots=True)
class Limit:
    """What it was, and by what evidence."""

    kind: Literal["cores", "gpu", "bridge", "callers", "unknown"]
    evidence: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {"kind": self.kind, "evidence": list(self.evidence)}


def limit(load: Occupancy) -> Limit:
    """Say what held the throughput.

    It is the first of these that holds. The bridge: Python's thread is busy all the time. The cores: all of them work,
    for any program. The bridge again: much of a request's time is spent on the way while lanes wait. The GPU: lanes
    wait for it with idle cores. The callers: even the lanes are idle.

    Args:
        load: What was busy while the throughput was measured.

    Returns:
        What held it, and why.
    """
    evidence = (
        f"{load.cores:.0%} of the cores worked",
        f"Python took {load.python:.2f} of a core",
        f"lanes ran {load.lanes:.0%} of the time",
        f"{load.transfer:.0%} of a request's time was on the way",
    )
    if load.python > _FULL:
        return Limit("bridge", evidence)
    if load.cores > _FULL:
        return Limit("cores", evidence)
    if load.transfer > _NOTABLE and load.lanes < _FULL:
        return Limit("bridge", evidence)
    if load.hardware and load.lanes > _FULL:
        return Limit("gpu", evidence)
    return Limit("callers" if load.lanes < 1 - _NOTABLE else "unknown", evidence)

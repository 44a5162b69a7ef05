"""Why one backend is faster than another, in words, by what was observed of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from webinfer.cli.output.units import seconds

if TYPE_CHECKING:
    from webinfer.cli.views.explain import Account

_NOTABLE = 1.2  # times as fast, from which a difference is spoken of: less is within what runs differ by
_LARGE = 0.3  # of the time of all operators, from which one is named
_PARTS = {
    "queue": "waiting its turn",
    "transfer": "crossing between Python and the browser",
    "upload": "handing the inputs over",
    "run": "running",
    "readback": "reading the outputs back",
}


def reasons(accounts: Sequence[Account]) -> list[str]:
    """Say in words why the fastest backend is that, by what was observed of the others."""
    ran = sorted((each for each in accounts if each.error is None), key=lambda each: each.run)
    if not ran:
        return []
    best, *others = ran
    said = [_strength(best)]
    for other in others:
        ratio = other.run / best.run if best.run else 1.0
        if ratio < _NOTABLE:
            said.append(f"{other.backend} is as fast, within what runs differ by.")
            continue
        why = f"{best.backend} is {ratio:.1f} times as fast as {other.backend}: {'; '.join(_weaknesses(other))}."
        said.append(" ".join([why, *_differences(best, other)]))
    said += [
        f"{each.backend} computes something else than native onnxruntime: {each.fault}." for each in ran if each.fault
    ]
    said += [f"{each.backend} did not run it: {each.error}" for each in accounts if each.error is not None]
    return said


def _strength(best: Account) -> str:
    where = f"in {best.verdict.kind}" if best.verdict.kind != "unproven" else "on hardware that is not proven"
    return f"{best.backend} is the fastest, {where}, with {best.placement or 'a placement that is not told'}."


def _weaknesses(other: Account) -> list[str]:
    found = []
    placement = other.placement
    if other.backend == "webgpu" and other.verdict.kind == "software":
        found.append(f"its GPU is made in software ({other.verdict.evidence[0]})")
    if placement is not None and not placement.whole:
        copies = f", and {placement.copies} copies go between them" if placement.copies else ""
        found.append(f"only {placement}{copies}")
    if placement is not None and placement.graphs > 1:
        found.append(f"WebNN's part is cut into {placement.graphs} graphs")
    whole = ": all nodes are on it" if placement is not None else ""
    return found or [f"nothing observed explains it but its kernels{whole}"]


def _differences(best: Account, other: Account) -> list[str]:
    """Say in which part the difference lies, and which operator takes most."""
    if best.profile is None or other.profile is None:
        return []
    said = []
    if best.profile.phases and other.profile.phases:
        mine, its = best.parts, other.parts
        more = {name: (its[name] or 0.0) - (mine[name] or 0.0) for name in _PARTS}
        part, total = max(more, key=lambda name: more[name]), sum(more.values())
        if more[part] > 0 and total > 0:
            share = min(1.0, more[part] / total)
            said.append(f"Of {seconds(total)} more, {share:.0%} is {_PARTS[part]}.")
    timed = other.profile.timed
    everything = sum(each.seconds or 0.0 for each in timed)
    if everything and other.profile.untold is None and (timed[0].seconds or 0.0) / everything >= _LARGE:
        first = timed[0]
        nodes = "1 node" if first.nodes == 1 else f"{first.nodes} nodes"
        took = seconds(first.seconds or 0.0)
        said.append(
            f"{first.name} takes {(first.seconds or 0.0) / everything:.0%} of its operators' time ({took} in {nodes})."
        )
    return said

"""The reasons why one backend is faster than another, in words, from what was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from webinfer.cli.output.units import seconds

if TYPE_CHECKING:
    from webinfer.cli.views.explain.account import Account

_NOTABLE = 1.2  # ratio from which a difference is reported; smaller ones are within the scatter of runs
_LARGE = 0.3  # share of all operators' time from which an operator is named
_PARTS = {
    "queue": "waiting its turn",
    "transfer": "crossing between Python and the browser",
    "upload": "handing the inputs over",
    "run": "running",
    "readback": "reading the outputs back",
}


def reasons(accounts: Sequence[Account]) -> list[str]:
    """Return sentences that explain why the fastest backend is the fastest, from what was observed.

    Args:
        accounts: What each backend did.
    """
    ran = sorted((account for account in accounts if account.error is None), key=lambda account: account.run)
    if not ran:
        return []
    best, *others = ran
    sentences = [_strength(best)]
    for other in others:
        ratio = other.run / best.run if best.run else 1.0
        if ratio < _NOTABLE:
            sentences.append(f"{other.backend} is as fast, within the scatter of runs.")
            continue
        why = f"{best.backend} is {ratio:.1f} times as fast as {other.backend}: {'; '.join(_weaknesses(other))}."
        sentences.append(" ".join([why, *_differences(best, other)]))
    sentences += [
        f"{account.backend} computes other values than native onnxruntime: {account.fault}."
        for account in ran
        if account.fault
    ]
    sentences += [
        f"{account.backend} did not run it: {account.error}" for account in accounts if account.error is not None
    ]
    return sentences


def _strength(best: Account) -> str:
    where = f"in {best.verdict.kind}" if best.verdict.kind != "unproven" else "on hardware that is not proven"
    return f"{best.backend} is the fastest, {where}, with {best.placement or 'an unknown placement'}."


def _weaknesses(other: Account) -> list[str]:
    reasons = []
    placement = other.placement
    if other.backend == "webgpu" and other.verdict.kind == "software":
        reasons.append(f"its GPU is emulated in software ({other.verdict.evidence[0]})")
    if placement is not None and not placement.whole:
        copies = f", and {placement.copies} copies go between them" if placement.copies else ""
        reasons.append(f"only {placement}{copies}")
    if placement is not None and placement.graphs > 1:
        reasons.append(f"WebNN's part is cut into {placement.graphs} graphs")
    whole = ": all nodes are on it" if placement is not None else ""
    return reasons or [f"no cause was observed other than its kernels{whole}"]


def _differences(best: Account, other: Account) -> list[str]:
    """Return which part of a request takes longer, and which operator takes the most time, in sentences."""
    if best.profile is None or other.profile is None:
        return []
    sentences = []
    if best.profile.phases and other.profile.phases:
        mine, its = best.parts, other.parts
        more = {name: (its[name] or 0.0) - (mine[name] or 0.0) for name in _PARTS}
        part, total = max(more, key=lambda name: more[name]), sum(more.values())
        if more[part] > 0 and total > 0:
            share = min(1.0, more[part] / total)
            sentences.append(f"Of {seconds(total)} more, {share:.0%} is {_PARTS[part]}.")
    timed = other.profile.timed
    everything = sum(operator.seconds or 0.0 for operator in timed)
    if everything and other.profile.untold is None and (timed[0].seconds or 0.0) / everything >= _LARGE:
        first = timed[0]
        nodes = "1 node" if first.nodes == 1 else f"{first.nodes} nodes"
        took = seconds(first.seconds or 0.0)
        sentences.append(
            f"{first.name} takes {(first.seconds or 0.0) / everything:.0%} of its operators' time ({took} in {nodes})."
        )
    return sentences

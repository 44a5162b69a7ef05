"""Layout of a check: a line for each browser and backend, then the nodes that are in trouble there."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from webinfer.api.services.atlas import Check, Trouble
from webinfer.api.services.models import ModelPackage
from webinfer.cli.output.layout import heading
from webinfer.cli.output.table import table

_STYLES = {"right": "good", "falls back": "label", "unsure": "warn", "refused": "warn", "wrong": "bad"}
_STANDINGS = ("right", "fallback", "mixed", "unknown", "refused", "wrong", "kills")
_MOST = 12  # nodes shown of a backend; --json has all


def view(package: ModelPackage, checks: Sequence[Check]) -> RenderableType:
    """Lay out what a check found.

    Args:
        package: The model.
        checks: One for each browser and backend.

    Returns:
        Something to print.
    """
    parts: list[RenderableType] = [Text(f"  {package.name} {package.precision}", style="title"), Text("")]
    parts.append(table(["where", "verdict", *_STANDINGS], [_line(one) for one in checks]))
    for one in checks:
        if one.troubles or one.trial is not None or one.rewritten:
            parts += _block(one)
    parts.append(Padding(Text(_EXPLAINED, style="quiet"), (1, 0, 0, 2)))
    return Padding(Group(*parts), (1, 0, 1, 0), expand=False)


_EXPLAINED = (
    "Columns count nodes. mixed: rows that fit the node disagree. unknown: no row fits it. "
    "platform auto passes over backends with wrong nodes, and the accuracy gate compares the rest."
)


def _line(one: Check) -> list[Text]:
    counts = [str(one.counts.get(standing, 0)) for standing in _STANDINGS]
    return [Text(one.ground.name), Text(one.verdict, style=_STYLES[one.verdict]), *map(Text, counts)]


def _block(one: Check) -> list[RenderableType]:
    parts: list[RenderableType] = [heading(f"  {one.ground.name}")]
    if one.trial is not None:
        said = one.trial.error or one.trial.wrong or f"answered rightly, {one.trial.placement or 'placement unknown'}"
        parts.append(Text(f"    run: {said}", style=_STYLES[one.verdict]))
    if one.rewritten:
        counts = ", ".join(f"{count} of {operator}" for operator, count in one.rewritten.items())
        parts.append(Text(f"    rewritten for this backend, with the same answers: {counts}"))
    parts += [_trouble(trouble) for trouble in one.troubles[:_MOST]]
    if len(one.troubles) > _MOST:
        parts.append(Text(f"    and {len(one.troubles) - _MOST} more: --json has all", style="quiet"))
    return parts


def _trouble(trouble: Trouble) -> RenderableType:
    finding = trouble.finding
    row = finding.rows[0]
    lines = [Text.assemble((f"{finding.standing:8}", "bad" if finding.bad else "warn"), f"{finding.node}  ",
        (str(finding.facts), "quiet"))]  # fmt: skip
    lines.append(Text(f"        {row.case.name}: {row.verdict.outcome}, {row.verdict.note}", style="quiet"))
    if trouble.change:
        lines.append(Text(f"        {trouble.change}"))
    return Padding(Group(*lines), (0, 0, 0, 4))

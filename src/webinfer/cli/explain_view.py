"""How an explanation looks: a table with a column for each backend, then the operators, then the words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from webinfer.cli.layout import BACKEND_NAMES, heading, pairs
from webinfer.cli.units import seconds

if TYPE_CHECKING:
    from webinfer.capabilities import Capabilities
    from webinfer.cli.explain import Account
    from webinfer.models import ModelPackage

_OPERATORS = 6  # shown; --json has all


def view(
    package: ModelPackage,
    capabilities: Capabilities,
    accounts: Sequence[Account],
    operators: Mapping[str, float],
    words: Sequence[str],
) -> RenderableType:
    """Lay out an explanation."""
    about = f"{package.precision}, {capabilities.engine} {capabilities.engine_version}"
    parts: list[RenderableType] = [Text.assemble((package.name, "title"), "  ", (about, "quiet")), _table(accounts)]
    total = sum(operators.values())
    top = list(operators.items())[:_OPERATORS]
    if total:
        parts.append(heading("Operators, by native onnxruntime's profile"))
        parts.append(pairs((name, Text(f"{spent / total:>4.0%}  {seconds(spent)}")) for name, spent in top))
    parts.append(heading("Why"))
    parts += [Text(f"- {each}") for each in words]
    return Padding(Group(*parts), (1, 0, 1, 2), expand=False)


def _table(accounts: Sequence[Account]) -> RenderableType:
    ran = [each for each in accounts if each.error is None]
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="label", no_wrap=True)
    for _ in ran:
        table.add_column()
    table.add_row("", *(Text(BACKEND_NAMES[each.backend], style="title") for each in ran))
    rows: list[tuple[str, Callable[[Account], str]]] = [
        ("Nodes", lambda each: str(each.placement or "not told")),
        ("Copies between", lambda each: str(each.placement.copies) if each.placement else "not told"),
        ("Verdict", lambda each: each.verdict.kind),
        ("Load: fetch", lambda each: seconds(each.loaded.fetch) if each.loaded else ""),
        ("Load: create", lambda each: seconds(each.loaded.create) if each.loaded else ""),
        ("First run", lambda each: seconds(each.first)),
        ("  of it compiling", lambda each: seconds(each.compile)),
        ("Queue", lambda each: seconds(each.queue)),
        ("Run, to and fro", lambda each: seconds(each.run)),
        ("Transfer", lambda each: seconds(each.transfer)),
        ("Largest error", lambda each: f"{max((one.error for one in each.deviations), default=0.0):.1g}"),
    ]
    for name, tell in rows:
        table.add_row(name, *(tell(each) for each in ran))
    return table

"""Which browser a model goes to, by its family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from webinfer.core.errors import OptionError
from webinfer.core.errors.suggestions import suggestion
from webinfer.core.options import BROWSERS, NamedBrowsers

PREFERENCES: Mapping[str, tuple[str, ...]] = {
    "audio": ("firefox",),
    "vision": ("chrome",),
    "text_generation": ("chrome",),
    "multimodal": ("chrome",),
    "text_embedding": ("edge",),
    "unknown": (),
}
"""Browsers that each family goes to, where they are installed: the guide's recommendations, which are not
measured. ``browser_preferences`` overrides them."""

GROUPS: Mapping[str, tuple[str, ...]] = {"text": ("text_embedding", "text_generation")}
"""Names that stand for several families."""

STANDINS: Mapping[str, tuple[str, ...]] = {
    "chrome": ("embedded", "chromium"),
    "edge": ("chrome", "embedded", "chromium"),
}
"""Browsers of the same engine that take the place of one that is not installed, before any other."""


@dataclass(frozen=True, slots=True)
class Route:
    """Where a model may run.

    Attributes:
        family: The model's family.
        wish: The browser that its family prefers, if any.
        names: Browsers that may run it, the best first.
        why: What was measured, where that and not the table ranked them.
    """

    family: str
    wish: str | None
    names: tuple[str, ...]
    why: str = ""


def merge(overrides: Mapping[str, NamedBrowsers]) -> dict[str, tuple[str, ...]]:
    """Return the table of preferences with the caller's own in it.

    Args:
        overrides: A browser, or several in order, by family; ``text`` stands for ``text_embedding`` and
            ``text_generation``. ``auto`` or nothing: that family prefers none.

    Raises:
        OptionError: A family or a browser is unknown.
    """
    table = dict(PREFERENCES)
    for family in sorted(overrides, key=lambda name: name not in GROUPS):  # a family's own goes before its group's
        members = GROUPS.get(family, (family,))
        given = overrides[family]
        wanted = tuple(name for name in ([given] if isinstance(given, str) else given) if name != "auto")
        _known("family", members[0], (*PREFERENCES, *GROUPS))
        for name in wanted:
            _known("browser", name, BROWSERS)
        table.update(dict.fromkeys(members, wanted))
    return table


def is_named(family: str, overrides: Mapping[str, NamedBrowsers]) -> bool:
    """Return whether the caller's preferences say anything about a family.

    Args:
        family: The family.
        overrides: The caller's preferences, by family.
    """
    return any(family in GROUPS.get(name, (name,)) for name in overrides)


def route(family: str, table: Mapping[str, Sequence[str]], installed: Sequence[str]) -> Route:
    """Rank the browsers for a model: its family's preference, what stands in for that, then the others.

    Args:
        family: The model's family.
        table: Preferences by family.
        installed: Browsers that there are, in the accelerator's order.

    Returns:
        The browsers in order, and why.
    """
    preferred = tuple(table.get(family, ()))
    ranked = [*preferred, *(name for wish in preferred for name in STANDINS.get(wish, ())), *installed]
    names = tuple(name for name in dict.fromkeys(ranked) if name in installed)
    return Route(family, preferred[0] if preferred else None, names)


def explain(chosen: Route, name: str, obstacles: Iterable[tuple[str, str]]) -> str:
    """Return why a model runs in ``name``.

    Args:
        chosen: Where it may run.
        name: Where it runs.
        obstacles: What kept it from the browsers before that: each one's name, and why.
    """
    reasons = "; ".join(f"{other} {why}" for other, why in obstacles)
    if chosen.why:
        return chosen.why + (f", but {reasons}" if reasons else "")
    if chosen.wish is None:
        return f"no preference for {chosen.family}" + (f", and {reasons}" if reasons else "")
    if name == chosen.wish:
        return f"{chosen.family} prefers {name}"
    return f"{chosen.family} prefers {chosen.wish}, but {reasons}"


def _known(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        hint = suggestion(name, known, f"Known: {', '.join(known)}.")
        raise OptionError(f"browser_preferences names no {what} with {name!r}. {hint}", option="browser_preferences")

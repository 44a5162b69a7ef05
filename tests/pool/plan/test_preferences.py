"""Models go to the browser that their family prefers, or to the next one, and it is said why."""

from __future__ import annotations

from typing import Any

import pytest

from webinfer.core.errors import OptionError
from webinfer.pool.plan.preferences import PREFERENCES, explain, merge, route

ALL = ["embedded", "chrome", "edge", "chromium", "firefox"]


@pytest.mark.parametrize(
    ("family", "first"),
    [
        ("audio", "firefox"),
        ("vision", "chrome"),
        ("text_generation", "chrome"),
        ("multimodal", "chrome"),
        ("text_embedding", "edge"),
        ("unknown", "embedded"),
    ],
)
def test_family_goes_to_the_browser_that_the_guide_recommends(family: str, first: str) -> None:
    ranked = route(family, PREFERENCES, ALL)
    assert ranked.names[0] == first
    assert sorted(ranked.names) == sorted(ALL)


@pytest.mark.parametrize(
    ("family", "installed", "names"),
    [
        ("text_embedding", ["firefox", "chromium", "chrome"], ("chrome", "chromium", "firefox")),
        ("vision", ["firefox", "embedded"], ("embedded", "firefox")),
        ("audio", ["embedded", "chrome"], ("embedded", "chrome")),
    ],
)
def test_same_engine_stands_in_before_others(family: str, installed: list[str], names: tuple[str, ...]) -> None:
    assert route(family, PREFERENCES, installed).names == names


def test_preferences_override_the_table_family_by_family() -> None:
    table = merge({"audio": "edge", "vision": ["firefox", "chrome"], "multimodal": "auto"})
    assert (table["audio"], table["vision"], table["multimodal"]) == (("edge",), ("firefox", "chrome"), ())
    assert table["text_embedding"] == PREFERENCES["text_embedding"]


def test_group_of_families_is_overridden_together_and_a_family_of_its_own_goes_first() -> None:
    table = merge({"text_generation": "firefox", "text": "chromium"})
    assert (table["text_embedding"], table["text_generation"]) == (("chromium",), ("firefox",))


@pytest.mark.parametrize(
    ("preferences", "message"),
    [({"visoin": "chrome"}, "Did you mean 'vision'"), ({"vision": "chrom"}, "Did you mean 'chrome'")],
)
def test_unknown_family_or_browser_names_the_nearest(preferences: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        merge(preferences)


def test_explanation_names_the_wish_and_what_kept_it() -> None:
    audio = route("audio", PREFERENCES, ALL)
    assert explain(audio, "firefox", []) == "audio prefers firefox"
    told = explain(audio, "embedded", [("firefox", "does not start (browser.launch)")])
    assert told == "audio prefers firefox, but firefox does not start (browser.launch)"
    assert explain(route("unknown", PREFERENCES, ALL), "embedded", []) == "no preference for unknown"

"""The page: whole, and safe whatever the rows say."""

from __future__ import annotations

import json
import re

from tests.accuracy.atlas.graphs import GROUND, facts, resize
from webinfer.accuracy.atlas.page import render
from webinfer.accuracy.atlas.rows import Atlas, Case, OperatorVerdict


def test_page_holds_the_rows_and_needs_nothing_else() -> None:
    atlas = Atlas()
    atlas.add(GROUND, Case("one", facts(resize())), OperatorVerdict("wrong", "off</script><script>alert(1)</script>"))
    page = render(atlas)
    assert page.startswith("<!doctype html>")
    assert re.findall(r"(?:src|href)=", page) == []
    assert "<script>alert" not in page
    (data,) = re.findall(r'<script type="application/json" id="atlas">(.*?)</script>', page, re.DOTALL)
    value = json.loads(data)
    assert value["cases"][0]["attributes"] == {"mode": "linear"}
    assert value["surveys"][0]["verdicts"] == "w"
    assert value["surveys"][0]["notes"] == {"0": "off</script><script>alert(1)</script>"}

"""The page as a browser draws it: nothing out of place, everything legible, nothing asked of anybody."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, async_playwright

from tests.telemetry import made_up
from webinfer.browsers.discovery.find import find
from webinfer.browsers.discovery.headless_shell import library_path
from webinfer.core.errors import BrowserNotFound
from webinfer.telemetry.database.connection import connect
from webinfer.telemetry.report import report

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]

AUDIT = Path(__file__).with_name("audit.js").read_text(encoding="utf-8")
SECTIONS = (
    "throughput latency time timeline benchmark loading concurrency accuracy memory hardware trouble comparison method"
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report in which every section has something to show."""
    directory = tmp_path_factory.mktemp("report")
    connection = connect(made_up.make(directory / "r.duckdb"), read_only=True)
    (directory / "report.html").write_text(report(connection, "html", path="r.duckdb"), encoding="utf-8")
    connection.close()
    return directory / "report.html"


@pytest_asyncio.fixture
async def page() -> AsyncIterator[Page]:
    """A page of the embedded browser, whose debugger tells what it does."""
    try:
        found = find("embedded")
    except BrowserNotFound as error:
        pytest.skip(str(error))
    env: dict[str, str | float | bool] | None = (
        {"LD_LIBRARY_PATH": library_path(found.libraries, {})} if found.libraries else None
    )
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(found.executable), args=["--no-sandbox", "--headless=shell"], env=env
        )
        yield await browser.new_page()
        await browser.close()


async def test_page_is_legible_and_in_place_in_every_width_and_colour_and_asks_for_nothing(
    page: Page, written: Path
) -> None:
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    wrong: dict[str, Any] = {}
    seen = []
    for width in (500, 900, 1400):
        await page.set_viewport_size({"width": width, "height": 900})
        await page.goto(written.as_uri())
        assert await page.eval_on_selector_all("section", "all => all.map(one => one.id).join(' ')") == SECTIONS
        await page.eval_on_selector_all("details", "all => all.forEach(one => { one.open = true; })")
        for colours in ("light", "dark"):
            await page.get_by_role("button", name=colours, exact=True).click()
            found = await page.evaluate(AUDIT)
            seen.append((found.pop("dark"), found.pop("charts"), found.pop("texts") > 200))
            wrong |= {f"{width} {colours} {kind}": faults[:3] for kind, faults in found.items() if faults}
    assert wrong == {}
    assert seen == [(False, 14, True), (True, 14, True)] * 3
    assert {url for url in asked if not url.startswith("data:")} == {written.as_uri()}
    assert said == []

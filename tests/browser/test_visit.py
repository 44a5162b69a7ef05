"""Browsers that nobody here started open a URL and run models like any other."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from webinfer import Accelerator
from webinfer.browsers.discovery.find import find
from webinfer.browsers.processes.launch import launch
from webinfer.core.errors import BrowserNotFound, LaunchFailed

pytestmark = pytest.mark.browser


class Visitor(logging.Handler):
    """Opens each URL that is asked for, in a browser that the accelerator knows nothing of."""

    def __init__(self, browser: str) -> None:
        super().__init__()
        self.installation = find(browser)  # type: ignore[arg-type]
        self.opened: list[object] = []
        self._loop = asyncio.new_event_loop()

    def emit(self, record: logging.LogRecord) -> None:
        found = re.search(r"http://\S+", record.getMessage())
        assert found
        asyncio.get_running_loop().create_task(self._open(found[0]))

    async def _open(self, url: str) -> None:
        self.opened.append(await launch(self.installation, url))

    def end(self) -> None:
        self._loop.close()


@pytest.fixture(params=["embedded", "webkit"])
def visitor(request: pytest.FixtureRequest) -> Iterator[Visitor]:
    try:
        visitor = Visitor(request.param)
    except BrowserNotFound as error:
        pytest.skip(str(error))
    log = logging.getLogger("webinfer.browsers.visit")
    log.addHandler(visitor)
    yield visitor
    log.removeHandler(visitor)
    visitor.end()


def test_page_opened_by_hand_runs_models_and_is_opened_again_when_it_was_closed(
    visitor: Visitor, perceptron: Path
) -> None:
    x = {"x": np.ones((2, 8), np.float32)}
    with Accelerator(browser="url", platform="wasm") as accelerator:
        model = accelerator.load(perceptron)
        first = model.run(x)
        assert first.browser == "url"
        assert first.engine == visitor.installation.engine
        (seen,) = accelerator.snapshot().browsers
        assert seen.pid == 0
        call(accelerator, visitor.opened[0].close)  # type: ignore[attr-defined]  # its user closes it
        again = model.run(x)
        np.testing.assert_array_equal(first["y"], again["y"])
        assert len(visitor.opened) == 2
        call(accelerator, visitor.opened[1].close)  # type: ignore[attr-defined]


def test_nobody_who_opens_the_page_is_told_of_in_time() -> None:
    began = time.monotonic()
    accelerator = Accelerator(browser="url", launch_timeout=0.5, launch_retries=0)
    with pytest.raises(LaunchFailed, match="Nobody opened the page"):
        accelerator.start()
    accelerator.close()
    assert time.monotonic() - began < 30, "half the time that a browser is given otherwise"


def test_urls_token_works_once(visitor: Visitor, perceptron: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Accelerator(browser="url", platform="wasm") as accelerator:
        accelerator.load(perceptron)
        url = re.search(r"http://\S+", caplog.text)
        assert url
        pages = len(accelerator.snapshot().browsers)
        second = call(accelerator, lambda: launch(visitor.installation, url[0]))
        assert len(accelerator.snapshot().browsers) == pages
        call(accelerator, second.close)  # type: ignore[attr-defined]
        call(accelerator, visitor.opened[0].close)  # type: ignore[attr-defined]


def call(accelerator: Accelerator, make: Callable[[], object]) -> object:
    """Run a coroutine on the accelerator's own loop, where what it opened lives."""
    portal = accelerator._portal
    return portal.call(make())  # type: ignore[arg-type]

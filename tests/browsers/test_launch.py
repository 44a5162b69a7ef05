"""Real browsers: that they come up at the URL, and that nothing of them is left."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.browsers.conftest import Site, survivors
from webinfer.browsers.discovery.find import Installation, find_all, version
from webinfer.browsers.processes.launch import launch
from webinfer.browsers.processes.process_tree import processes, tree_memory
from webinfer.core.errors import LaunchFailed
from webinfer.core.options import BrowserName

Find = Callable[[BrowserName], Installation]

EACH: list[object] = [
    pytest.param(name, marks=pytest.mark.browser(name)) for name in ("embedded", "chromium", "firefox", "webkit")
]

PARENT = """
import asyncio, json, sys
from webinfer.browsers.discovery.find import find
from webinfer.browsers.processes.launch import launch
async def main():
    process = await launch(find(sys.argv[1]), sys.argv[2])
    print(json.dumps([process.pid, str(process.home)]), flush=True)
    try:
        await process.exited
    finally:
        if sys.argv[3] == "tidy":
            await process.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("name", EACH)
async def test_browser_opens_the_page_isolated_and_close_leaves_nothing(
    browser: Find, site: Site, name: BrowserName
) -> None:
    process = await launch(browser(name), site.url)
    try:
        assert await site.alive == "true"
        tree = processes(process.pid)
        assert len(tree) > 2
        assert await asyncio.to_thread(tree_memory, process.pid) > 50e6
    finally:
        await process.close()
    assert [one for one in tree if one.is_running()] == []
    assert not process.home.exists()
    assert tree_memory(process.pid) == 0


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("how", ["killed", "interrupted", "interrupted but tidy"])
async def test_nothing_survives_a_python_process_that_is(
    browser: Find, site: Site, name: BrowserName, how: str
) -> None:
    browser(name)
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, name, site.url, "tidy" if "tidy" in how else "untidy"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert parent.stdout is not None
    pid, home = json.loads(await parent.stdout.readline())
    await site.alive
    guard = psutil.Process(pid).parent()
    assert guard is not None
    everyone = [guard, *guard.children(recursive=True)]
    os.killpg(parent.pid, signal.SIGKILL if how == "killed" else signal.SIGINT)
    await parent.wait()
    assert await survivors(everyone) == []
    assert not os.path.exists(home)  # noqa: ASYNC240, PTH110


@pytest.mark.browser("embedded")
async def test_browser_that_cannot_start_tells_why(browser: Find) -> None:
    process = await launch(browser("embedded"), "http://127.0.0.1:1/", args=["--user-data-dir=/dev/null/no"])
    ended = await process.exited
    assert ended.code != 0
    assert "/dev/null/no" in str(ended)
    await process.close()


@pytest.mark.browser("embedded")
async def test_headless_shell_refuses_a_window(browser: Find) -> None:
    with pytest.raises(LaunchFailed, match="headless=True"):
        await launch(browser("embedded"), "http://127.0.0.1:1/", headless=False)


@pytest.mark.browser("webkit")
async def test_webkit_shows_its_page_only_to_who_has_the_key_and_leaves_no_socket_file(
    browser: Find, site: Site
) -> None:
    before = _x_sockets()
    installation = browser("webkit")
    process = await launch(installation, site.url)
    try:
        assert await site.alive == "true"
        env = psutil.Process(process.pid).environ()
        asked = {key: await _ask_version(installation, {**env, "XAUTHORITY": key}) for key in (env["XAUTHORITY"], "")}
        assert _x_sockets() == before
    finally:
        await process.close()
    assert asked == {env["XAUTHORITY"]: 0, "": 1}


def _x_sockets() -> list[Path]:
    return sorted(Path("/tmp").glob(".X*/*")) + sorted(Path("/tmp").glob(".X*-lock"))


async def _ask_version(installation: Installation, env: dict[str, str]) -> int | None:
    """Ask for the version, which MiniBrowser tells only where it can use the display."""
    asked = await asyncio.create_subprocess_exec(
        installation.executable, "--version", env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return await asked.wait()


@pytest.mark.browser
def test_every_browser_found_tells_its_version(browser: Find) -> None:
    browser("embedded")
    versions = {found.name: version(found) for found in find_all()}
    assert versions["embedded"] == "153.0.8010.0"
    assert None not in versions.values()

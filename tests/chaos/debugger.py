"""What a browser's debugger can do to its page and workers: Chromium's own protocol, and WebDriver BiDi in Firefox."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from webinfer.browsers.browser import Browser
from webinfer.browsers.processes.launch import BrowserProcess

FLAGS = ("--remote-debugging-port=0",)  # each browser writes the port that it took into its profile
PATIENCE = 5.0  # seconds for the debugger's answer
GONE = (OSError, aiohttp.ClientError, LookupError, ValueError, TimeoutError)  # the browser is just coming or going


class Debugger:
    """A connection to a browser's debugger."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._last = 0
        self._attached: list[str] = []

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Send a command and return its result, or nothing where its doing ended the connection."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": params}
        await self._socket.send_json({**command, "sessionId": session} if session else command)
        async with asyncio.timeout(PATIENCE):
            async for message in self._socket:
                said = json.loads(message.data)
                if said.get("method") == "Target.attachedToTarget":
                    self._attached.append(said["params"]["sessionId"])
                if said.get("id") == self._last:
                    return dict(said.get("result", {}))
        return {}


class ChromeDebugger(Debugger):
    """Chromium's, at its page."""

    async def reload(self) -> None:
        await self.ask("Page.reload")

    async def crash(self) -> None:
        with contextlib.suppress(TimeoutError):  # what has crashed does not answer
            async with asyncio.timeout(0.5):
                await self.ask("Page.crash")

    async def run_in_workers(self, script: str) -> int:
        """Run a script in each of the page's workers; returns how many there are."""
        await self.ask("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)
        for session in tuple(self._attached):
            with contextlib.suppress(TimeoutError):  # it computes, and runs the script when it has ended
                async with asyncio.timeout(0.5):
                    await self.ask("Runtime.evaluate", session, expression=script)
        return len(self._attached)


class FirefoxDebugger(Debugger):
    """Firefox's, at the browser. It cannot run scripts in workers."""

    async def reload(self) -> None:
        tree = await self.ask("browsingContext.getTree")
        await self.ask("browsingContext.reload", context=tree["contexts"][0]["context"])


def _profile(browser: Browser) -> Path:
    assert isinstance(browser._process, BrowserProcess)
    return browser._process.profile


@contextlib.asynccontextmanager
async def chrome(browser: Browser) -> AsyncIterator[ChromeDebugger]:
    """Connect to the debugger of a Chromium."""
    text = await asyncio.to_thread((_profile(browser) / "DevToolsActivePort").read_text)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{text.split()[0]}/json/list") as response:
            pages = [page for page in await response.json() if page["type"] == "page"]
        async with session.ws_connect(pages[0]["webSocketDebuggerUrl"]) as socket:
            yield ChromeDebugger(socket)


@contextlib.asynccontextmanager
async def firefox(browser: Browser) -> AsyncIterator[FirefoxDebugger]:
    """Connect to the debugger of a Firefox."""
    text = await asyncio.to_thread((_profile(browser) / "WebDriverBiDiServer.json").read_text)
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(f"ws://127.0.0.1:{json.loads(text)['ws_port']}/session") as socket,
    ):
        debugger = FirefoxDebugger(socket)
        await debugger.ask("session.new", capabilities={})
        yield debugger

"""A browser that opens our page and was not started here: by hand, on another device, or Safari.

Its page dials back like any other. Only what needs a process of ours is missing: its memory is not measured, and
it is not ended, but gets a goodbye.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from webinfer.browsers.discovery.find import Installation
from webinfer.core.errors import LaunchFailed

log = logging.getLogger("webinfer.browsers.visit")


class Visit:
    """A page that is expected, in place of a ``BrowserProcess``.

    Attributes:
        installation: What is expected.
        pid: 0: there is no process of ours.
        exited: Never done; a page that is closed is missed by its socket.
    """

    pid = 0

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.exited: asyncio.Future[object] = asyncio.get_running_loop().create_future()

    def __repr__(self) -> str:
        return f"<Visit {self.installation.name}>"

    async def close(self) -> None:
        """Expect it no more."""
        self.exited.cancel()


def is_visitor(installation: Installation) -> bool:
    """Return whether a browser comes by itself: it is not started with a profile of its own.

    Args:
        installation: The browser.
    """
    return installation.name in ("url", "safari")


async def expect(installation: Installation, url: str) -> Visit:
    """Ask Safari, or the user by a log message, to open a page.

    Safari opens pages in its user's own profile and process, so it is only asked to. For ``url`` the log says, as
    a warning, what is to be opened; Python prints that to standard error where no logging is set up.

    Args:
        installation: What is expected.
        url: The page. Its token works once.

    Returns:
        The visit, to be awaited.

    Raises:
        LaunchFailed: Safari cannot be asked.
    """
    if installation.name == "safari":
        await _ask_safari(installation, url)
    else:
        log.warning("Open this in the browser that is to run models: %s", url)
    return Visit(installation)


async def _ask_safari(installation: Installation, url: str) -> None:
    if sys.platform != "darwin":
        raise LaunchFailed(
            "Safari runs on macOS only. Use browser='webkit' for its engine on Linux, or browser='url', and open "
            "the page in Safari on a machine that can reach this one.",
            browser=installation.name,
        )
    opening = await asyncio.create_subprocess_exec("/usr/bin/open", "-a", str(installation.executable.parents[2]), url)
    if code := await opening.wait():
        raise LaunchFailed(
            f"Safari could not be asked to open the page: open ended with {code}. Open {url} in it by hand.",
            browser=installation.name,
        )

"""How WebKit and the X server that it needs are started and ended, with scripts that stand for both."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.browsers.conftest import poll, survivors
from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.engines.launch_plan import LaunchPlan, Machine
from webinfer.browsers.engines.webkit import plan_webkit
from webinfer.browsers.processes.launch import launch
from webinfer.core.errors import LaunchFailed

Script = Callable[[str, str], Path]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="WebKitGTK is for Linux")

URL = "http://127.0.0.1:1/#token=t"
HOME = Path("/tmp/home")
KEYS = HOME / "Xauthority"
WEBKIT = Installation("webkit", "webkit", Path("/opt/MiniBrowser"), "system")
DESKTOP = {"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0", "XAUTHORITY": "/home/me/.Xauthority"}
SERVE = 'for last; do :; done; echo 77 > "/dev/fd/$last"; exec sleep 1000'  # An X server that says it is display 77.


@pytest.fixture
def xvfb(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Put a script in place of Xvfb."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return lambda body: script("bin/Xvfb", body)


def plan(
    *, headless: bool = True, root: bool = False, args: tuple[str, ...] = (), inherited: dict[str, str] | None = None
) -> LaunchPlan:
    machine = Machine(root=root, gpu=False, small_shared_memory=False)
    return plan_webkit(
        WEBKIT, URL, HOME, headless=headless, args=args, machine=machine, inherited=inherited or {**DESKTOP}
    )


def test_without_a_window_it_gets_an_x_server_of_its_own_and_not_the_desktops(xvfb: Callable[[str], Path]) -> None:
    executable = xvfb(SERVE)
    made = plan(args=("--mine",))
    assert made.argv == ("/opt/MiniBrowser", "--private", "--mine", URL)
    assert made.server[0] == str(executable)
    assert {"DISPLAY", "WAYLAND_DISPLAY"} & set(made.env) == set()
    assert (made.env["GDK_BACKEND"], made.env["XAUTHORITY"]) == ("x11", str(KEYS))


def test_x_server_listens_on_no_file_and_no_port_and_asks_for_a_key_made_for_it(xvfb: Callable[[str], Path]) -> None:
    xvfb(SERVE)
    first, second = plan(), plan()
    words = " ".join(first.server)
    assert all(part in words for part in ("-nolisten tcp", "-nolisten unix", f"-auth {KEYS}"))
    assert first.files[KEYS] != second.files[KEYS]
    assert first.files[KEYS].encode()[:2] == b"\x01\x00"
    assert "\x00\x12MIT-MAGIC-COOKIE-1\x00\x10" in first.files[KEYS]


def test_with_a_window_it_uses_the_desktop() -> None:
    made = plan(headless=False)
    assert (made.server, made.files) == ((), {})
    assert {name: made.env[name] for name in DESKTOP} == DESKTOP


def test_window_without_a_desktop_is_refused() -> None:
    with pytest.raises(LaunchFailed, match=r"DISPLAY and WAYLAND_DISPLAY are not set.*headless=True"):
        plan(headless=False, inherited={"PATH": "/usr/bin"})


def test_missing_x_server_is_named_with_the_remedy() -> None:
    with pytest.raises(LaunchFailed, match="apt-get install xvfb"):
        plan(inherited={"PATH": "/nowhere"})


def test_sandbox_is_given_up_only_as_root(xvfb: Callable[[str], Path]) -> None:
    xvfb(SERVE)
    assert plan(root=True).env["WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS"] == "1"
    assert not any("SANDBOX" in name for name in plan().env)


@pytest.fixture
def fake(script: Script) -> Callable[[str], Installation]:
    return lambda body: Installation("webkit", "webkit", script("MiniBrowser", body), "explicit")


async def test_browser_is_told_its_display_and_the_x_server_ends_with_it(
    fake: Callable[[str], Installation], xvfb: Callable[[str], Path]
) -> None:
    xvfb(SERVE)
    process = await launch(fake("exec sleep 1000"), URL)
    await poll(lambda: psutil.Process(process.pid).name() == "sleep")
    assert psutil.Process(process.pid).environ()["DISPLAY"] == ":77"
    guard = psutil.Process(process.pid).parent()
    assert guard is not None
    everyone = guard.children(recursive=True)
    assert len(everyone) == 2
    await process.close()
    assert not any(one.is_running() for one in everyone)
    assert not process.home.exists()


async def test_x_server_ends_when_the_browser_does(
    fake: Callable[[str], Installation], xvfb: Callable[[str], Path], tmp_path: Path
) -> None:
    note = tmp_path / "pid"
    xvfb(f"echo $$ > {note}; {SERVE}")
    process = await launch(fake("exit 3"), URL)
    assert (await process.exited).code == 3
    await process.close()
    assert not psutil.pid_exists(int(note.read_text()))


async def test_x_server_does_not_survive_the_guard(
    fake: Callable[[str], Installation], xvfb: Callable[[str], Path]
) -> None:
    xvfb(SERVE)
    process = await launch(fake("exec sleep 1000"), URL)
    guard = psutil.Process(process.pid).parent()
    assert guard is not None
    everyone = guard.children(recursive=True)
    guard.kill()
    assert await survivors(everyone) == []
    await process.close()


async def test_x_server_that_does_not_start_is_reported_with_its_last_words(
    fake: Callable[[str], Installation], xvfb: Callable[[str], Path]
) -> None:
    xvfb("echo 'no keyboard map' >&2; exit 4")
    with pytest.raises(LaunchFailed, match=r"its X server ended \(exit code 4; its last words: no keyboard map\)"):
        await launch(fake("exec sleep 1000"), URL)

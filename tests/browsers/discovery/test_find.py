"""Finding browsers, with directories and scripts that stand for installations."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from webinfer.browsers.discovery import find as module
from webinfer.browsers.discovery import headless_shell as embedded
from webinfer.browsers.discovery import minibrowser
from webinfer.browsers.discovery.find import VARIABLE, Installation, find, find_all, places, version
from webinfer.core.errors import BrowserNotFound

Script = Callable[[str, str], Path]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stands for a Linux machine")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an empty PATH and no browsers in the usual places."""
    names = {
        name: tuple(place for place in usual if not place.startswith("/")) for name, usual in module._LINUX.items()
    }
    monkeypatch.setattr(module, "_LINUX", names)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv(VARIABLE, raising=False)


def test_find_names_what_it_looked_for_and_the_remedy_when_there_is_no_browser() -> None:
    with pytest.raises(BrowserNotFound) as caught:
        find()
    for part in ("embedded", "google-chrome", "firefox-esr", "webinfer install chromium", "executable=", VARIABLE):
        assert part in str(caught.value)
    assert find_all() == []


def test_find_auto_prefers_embedded_then_chrome_then_edge_then_chromium_then_firefox(
    script: Script, cache: Path
) -> None:
    for name in ("firefox-esr", "chromium", "microsoft-edge", "google-chrome"):
        path = script(f"bin/{name}", "")
        assert find().executable == path
    brought = cache / f"chromium-{embedded.VERSION}" / embedded.EXECUTABLE
    brought.parent.mkdir()
    brought.touch()
    assert find() == find("embedded")
    assert find().source == "embedded"
    assert [found.name for found in find_all()] == ["embedded", "chrome", "edge", "chromium", "firefox"]


def test_find_by_name_takes_that_browser_only(script: Script) -> None:
    firefox = script("bin/firefox", "")
    assert find("firefox") == Installation("firefox", "firefox", firefox, "system")
    with pytest.raises(BrowserNotFound, match=r"Looked for chrome \(google-chrome-stable"):
        find("chrome")


def test_browser_that_is_missing_says_where_to_get_it_and_which_are_here(script: Script) -> None:
    with pytest.raises(
        BrowserNotFound, match=r"^edge is not installed\. .* To get it: https://www.microsoft.com/edge; or name"
    ):
        find("edge")
    script("bin/firefox", "")
    with pytest.raises(BrowserNotFound, match=r"use one that is here: firefox; or name a path: executable=") as caught:
        find("edge")
    assert caught.value.data == {"browsers": ["edge"], "installed": ["firefox"]}
    assert "microsoft-edge-stable" in str(caught.value)


def test_find_leaves_snaps_out_because_they_may_not_use_our_profile(script: Script) -> None:
    script("bin/firefox", 'exec /snap/bin/firefox "$@"')
    with pytest.raises(BrowserNotFound):
        find("firefox")


@pytest.mark.parametrize(
    ("said", "name", "engine"),
    [
        ("Mozilla Firefox 153.0", "firefox", "firefox"),
        ("Google Chrome 156.0.1.2", "chrome", "chromium"),
        ("Microsoft Edge 156.0.1.2", "edge", "chromium"),
        ("Chromium 156.0.1.2 built on Debian", "chromium", "chromium"),
    ],
)
def test_explicit_path_is_identified_by_what_it_says_of_itself(
    script: Script, said: str, name: str, engine: str
) -> None:
    path = script("odd-name", f"echo '{said}'")
    found = find(executable=path)
    assert (found.name, found.engine, found.executable, found.source) == (name, engine, path, "explicit")
    assert version(found) == said.split()[-1 if name != "chromium" else 1]


def test_explicit_path_wins_over_name_and_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(script("one", "echo Chromium 1.0")))
    script("bin/firefox", "")
    assert find().name == "chromium"
    assert find("firefox").source == "system"
    assert find("auto", script("two", "echo Mozilla Firefox 1.0")).name == "firefox"


def test_explicit_path_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFound, match="nowhere, named by executable, does not exist"):
        find(executable=tmp_path / "nowhere")


def test_explicit_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrowserNotFound, match="is not a file"):
        find(executable=tmp_path)


def test_explicit_path_that_is_not_executable_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chrome"
    path.write_text("")
    with pytest.raises(BrowserNotFound, match="chrome, named by executable, is not executable"):
        find(executable=path)


@pytest.mark.parametrize("body", ["echo ls 9.1", "exit 1"])
def test_explicit_path_of_something_else_is_refused(script: Script, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    monkeypatch.setenv(VARIABLE, str(script("firefox", body)))
    with pytest.raises(BrowserNotFound, match=f"named by {VARIABLE}, did not say"):
        find()


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("darwin", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
        ("win32", "/Program Files/Google/Chrome/Application/chrome.exe"),
    ],
)
def test_places_are_those_of_the_platform(monkeypatch: pytest.MonkeyPatch, platform: str, expected: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("PROGRAMFILES", "/Program Files")
    assert expected in places("chrome")
    assert places("embedded") == []


def test_webkit_is_found_by_name_and_among_all_but_not_taken_by_itself(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script("webkit2gtk-4.1/MiniBrowser", "exit 1")
    monkeypatch.setitem(module._LINUX, "webkit", (str(path),))
    assert find("webkit") == Installation("webkit", "webkit", path, "system")
    assert find_all() == [find("webkit")]
    with pytest.raises(BrowserNotFound, match="webinfer install chromium"):
        find()


def test_minibrowser_is_known_by_its_file_name_because_it_tells_nothing_without_a_display(script: Script) -> None:
    found = find(executable=script("elsewhere/MiniBrowser", "exit 1"))
    assert (found.name, found.engine) == ("webkit", "webkit")
    assert version(found) is None


def test_minibrowser_is_looked_for_where_distributions_put_it() -> None:
    looked = minibrowser.places()
    assert looked[0] == f"/usr/lib/{platform.machine()}-linux-gnu/webkit2gtk-4.1/MiniBrowser"
    assert "/usr/libexec/webkitgtk-6.0/MiniBrowser" in looked


def test_safari_is_found_on_macos_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places("safari") == []
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "/Applications/Safari.app/Contents/MacOS/Safari" in places("safari")

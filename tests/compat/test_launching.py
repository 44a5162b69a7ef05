"""Every keyword about starting browsers, and the one about cutting models, changes what is started and how."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.browser.test_fleet import Switch, note_pauses
from tests.compat.models import BERT, TOKENS
from webinfer.browsers.discovery import find as finding
from webinfer.compat import create_ipfs_web_accelerator
from webinfer.core.options import Options

pytestmark = [pytest.mark.browser("embedded"), pytest.mark.timeout(300)]


class Witness(Switch):
    """A switch that writes down with what it was started."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "embedded")
        self._seen = directory / "seen"
        shebang, _, rest = self._script.read_text().partition("\n")
        self._script.write_text(
            f'{shebang}\ncase "$*" in *--version*) ;; *) echo "$*" >> "{self._seen}";; esac\n{rest}'
        )

    @property
    def starts(self) -> list[list[str]]:
        """Return the arguments of each start."""
        return [line.split() for line in self._seen.read_text().splitlines()]


@pytest.fixture
def witness(embedded: None, named_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Witness:
    """Put a witness in front of the embedded browser, as if there were no other."""
    witness = Witness(tmp_path)
    monkeypatch.setattr(finding, "_find_one", lambda name: witness.installation if name == "embedded" else None)
    return witness


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.mark.parametrize(
    ("keywords", "headless", "backoff"),
    [({}, True, True), ({"headless": False, "enable_progressive_backoff": False}, False, False)],
)
def test_port_window_and_backoff_are_as_the_keywords_say(
    witness: Witness, monkeypatch: pytest.MonkeyPatch, keywords: dict[str, Any], headless: bool, backoff: bool
) -> None:
    port, paused = free_port(), note_pauses(monkeypatch)
    witness.refuse(2)
    with create_ipfs_web_accelerator(websocket_port=port, connection_retry_attempts=2, **keywords) as accelerator:
        assert accelerator.run_inference(BERT, TOKENS, platform="cpu").model == BERT
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as page:
            assert b"webinfer" in page.read()
    arguments, *_ = witness.starts
    assert len(witness.starts) == 3
    assert any(f"127.0.0.1:{port}" in argument for argument in arguments)
    assert any(argument.startswith("--headless") for argument in arguments) == headless
    assert 1 < max(paused) <= 2 if backoff else not paused, "a second, then two"


@pytest.mark.parametrize("sharding", [False, True])
def test_cross_browser_sharding_cuts_a_model_that_no_lane_may_hold(
    witness: Witness, monkeypatch: pytest.MonkeyPatch, sharding: bool
) -> None:
    defaults = Options.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "lane_capacity_mb", 3.95)  # BERT here has 4 MB
    with create_ipfs_web_accelerator(enable_cross_browser_sharding=sharding) as accelerator:
        result = accelerator.run_inference(BERT, TOKENS, platform="cpu")
    assert len(result.lane.split(" + ")) == 1 + sharding
    assert result.outputs["last_hidden_state"].shape == (1, 6, 32)

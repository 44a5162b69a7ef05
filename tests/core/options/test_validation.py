"""Options are of the type that they say, and what was surely meant is taken for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from webinfer import Accelerator, Options
from webinfer.core.errors import OptionError


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("lanes", "two", "lanes must be a whole number, not 'two'."),
        ("lanes", 1.5, "lanes must be a whole number, not 1.5."),
        ("lanes", True, "lanes must be a whole number, not True."),
        ("run_timeout", float("nan"), "run_timeout must be a finite number, not nan."),
        ("run_timeout", float("inf"), "run_timeout must be a finite number, not inf."),
        ("launch_timeout", None, "launch_timeout must be a finite number, not None."),
        ("headless", "no", "headless must be True or False, not 'no'."),
        ("executable", "", "executable must be a path, not ''."),
        ("metrics_token", 5, "metrics_token must be a text, not 5."),
        ("browser_args", 5, "browser_args must be a list, not 5."),
        ("warm_up_lengths", [16, "x"], "warm_up_lengths must be a whole number, not 'x'."),
        ("memory_limits", [500], "memory_limits must be a mapping, not [500]."),
    ],
)
def test_option_of_another_type_is_refused(option: str, value: Any, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        Accelerator(**{option: value})
    assert str(caught.value) == message
    assert caught.value.data["option"] == option


@pytest.mark.parametrize(
    ("option", "value", "taken"),
    [
        ("executable", "~/chrome", Path("~/chrome").expanduser()),
        ("db_path", "results.duckdb", Path("results.duckdb")),
        ("browsers", "firefox", ("firefox",)),
        ("browsers", ["firefox", "chrome"], ("firefox", "chrome")),
        ("browser_args", "--mute-audio", ("--mute-audio",)),
        ("lanes", np.int64(2), 2),
        ("run_timeout", 5, 5),
        ("run_timeout", None, None),
    ],
)
def test_option_is_taken_as_one_types_it(option: str, value: Any, taken: object) -> None:
    assert getattr(Options.of(**{option: value}), option) == taken
    assert getattr(Options(**{option: value}), option) == taken


def test_options_come_as_an_object_or_as_keywords() -> None:
    assert Accelerator(Options(lanes=2)).options.lanes == 2
    with pytest.raises(OptionError, match=r"Name the option that 'firefox' is for"):
        Accelerator("firefox")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(OptionError, match=r"Give options or lanes, not both"):
        Accelerator(Options(), lanes=2)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to consoles, not to processes")
def test_ctrl_c_while_the_command_line_loads_ends_it_without_a_traceback() -> None:
    stop = "import sys, os, signal, webinfer.__main__ as m; sys.meta_path.insert(0, type('', (), {'find_spec': "
    stop += f"lambda self, *_: os.kill(os.getpid(), {int(signal.SIGINT)})}})()); m.main()"
    ended = subprocess.run([sys.executable, "-c", stop], capture_output=True, text=True, env=dict(os.environ))
    assert (ended.returncode, ended.stderr) == (130, "Interrupted; nothing is left running.\n")


def test_learned_routing_is_refused_with_what_takes_its_place() -> None:
    with pytest.raises(OptionError, match="webinfer tune MODEL"):
        Options(routing="learned")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="routing must be one of auto, table"):
        Options(routing="guess")  # type: ignore[arg-type]

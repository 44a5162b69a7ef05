"""What would be started, without starting it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.engines.chromium import plan_chromium
from webinfer.browsers.engines.firefox import plan_firefox
from webinfer.browsers.engines.launch_plan import LaunchPlan, Machine, Planner
from webinfer.browsers.engines.webkit import plan_webkit
from webinfer.core.errors import LaunchFailed

URL = "http://127.0.0.1:1/#token=t"
PLAIN = Machine(root=False, gpu=False, small_shared_memory=False)
CHROME = Installation("chrome", "chromium", Path("/opt/chrome"), "system")
SHELL = Installation("embedded", "chromium", Path("/cache/headless-shell"), "embedded", Path("/cache/lib"))
FIREFOX = Installation("firefox", "firefox", Path("/opt/firefox"), "system")
WEBKIT = Installation("webkit", "webkit", Path("/opt/MiniBrowser"), "system")
PLANNERS: dict[str, Planner] = {"chromium": plan_chromium, "firefox": plan_firefox, "webkit": plan_webkit}

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux has ways of its own")


def plan(
    installation: Installation,
    *,
    headless: bool = True,
    args: tuple[str, ...] = (),
    machine: Machine = PLAIN,
    inherited: dict[str, str] | None = None,
    home: Path = Path("/tmp/home"),
) -> LaunchPlan:
    planner = PLANNERS[installation.engine]
    return planner(installation, URL, home, headless=headless, args=args, machine=machine, inherited=inherited or {})


@pytest.mark.parametrize("installation", [CHROME, SHELL, FIREFOX], ids=lambda i: i.name)
def test_command_starts_with_the_executable_and_ends_with_the_url(installation: Installation) -> None:
    argv = plan(installation, args=("--mine",)).argv
    assert argv[0] == str(installation.executable)
    assert argv[-1] == URL
    assert "--mine" in argv
    assert any("/tmp/home/profile" in argument for argument in argv)


@linux
@pytest.mark.parametrize("installation", [CHROME, SHELL, FIREFOX], ids=lambda i: i.name)
def test_environment_keeps_all_state_in_the_browsers_directory(installation: Installation) -> None:
    inherited = {
        "HOME": "/home/me",
        "XDG_CONFIG_HOME": "/home/me/.config",
        "TMPDIR": "/var/tmp",
        "LANG": "C",
        "DISPLAY": ":0",
    }
    env = plan(installation, inherited=inherited).env
    assert {env[name] for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR")} == {"/tmp/home"}
    assert "XDG_CONFIG_HOME" not in env
    assert (env["LANG"], env["XAUTHORITY"]) == ("C", "/home/me/.Xauthority")


@linux
def test_window_keeps_the_desktops_sockets() -> None:
    env = plan(
        CHROME, headless=False, inherited={"XDG_RUNTIME_DIR": "/run/user/1", "DBUS_SESSION_BUS_ADDRESS": "unix:x"}
    ).env
    assert (env["XDG_RUNTIME_DIR"], env["DBUS_SESSION_BUS_ADDRESS"]) == ("/run/user/1", "unix:x")


def test_headless_is_asked_in_the_way_of_each_browser() -> None:
    assert "--headless" in plan(CHROME).argv
    assert "--headless=shell" in plan(SHELL).argv
    assert "--headless" in plan(FIREFOX).argv
    assert not any(
        "headless" in argument for argument in (*plan(CHROME, headless=False).argv, *plan(FIREFOX, headless=False).argv)
    )


def test_headless_shell_refuses_to_show_a_window() -> None:
    with pytest.raises(LaunchFailed, match="headless=True"):
        plan(SHELL, headless=False)


def test_sandbox_is_given_up_only_as_root() -> None:
    assert "--no-sandbox" not in plan(CHROME).argv
    assert "--no-sandbox" in plan(CHROME, machine=Machine(root=True, gpu=False, small_shared_memory=False)).argv


def test_software_adapter_is_asked_for_only_where_there_is_no_gpu() -> None:
    software = "--use-webgpu-adapter=swiftshader"
    assert software in plan(CHROME).argv
    gpu = plan(CHROME, machine=Machine(root=False, gpu=True, small_shared_memory=False)).argv
    assert software not in gpu
    assert not any("swiftshader" in argument.lower() for argument in gpu)


def test_small_shared_memory_is_not_used() -> None:
    assert (
        "--disable-dev-shm-usage" in plan(CHROME, machine=Machine(root=False, gpu=False, small_shared_memory=True)).argv
    )
    assert "--disable-dev-shm-usage" not in plan(CHROME).argv


def test_users_features_are_joined_to_ours_because_chromium_heeds_one_list_only() -> None:
    argv = plan(CHROME, args=("--enable-features=Mine,Other", "--disable-features=Theirs", "--flag=1")).argv
    (enabled,) = [argument for argument in argv if argument.startswith("--enable-features=")]
    (disabled,) = [argument for argument in argv if argument.startswith("--disable-features=")]
    assert enabled == "--enable-features=WebMachineLearningNeuralNetwork,Mine,Other"
    assert disabled.endswith("Translate,Theirs")
    assert "--flag=1" in argv


def test_bundled_libraries_come_first_and_only_where_they_are_needed() -> None:
    assert plan(SHELL, inherited={"LD_LIBRARY_PATH": "/mine"}).env["LD_LIBRARY_PATH"] == "/cache/lib:/mine"
    assert "LD_LIBRARY_PATH" not in plan(CHROME).env


def test_bundled_fonts_get_a_configuration_in_the_browsers_directory(tmp_path: Path) -> None:
    (tmp_path / "fonts").mkdir()
    shell = Installation("embedded", "chromium", tmp_path / "headless-shell", "embedded")
    made = plan(shell)
    configuration = Path(made.env["FONTCONFIG_FILE"])
    assert configuration.parent == Path("/tmp/home")
    assert f"<dir>{tmp_path / 'fonts'}</dir>" in made.files[configuration]


def test_firefox_preferences_are_well_formed() -> None:
    (contents,) = plan(FIREFOX).files.values()
    assert 'user_pref("dom.webgpu.workers.enabled", true);\n' in contents
    assert all(
        re.fullmatch(r'user_pref\("[\w.-]+", (true|false|-?\d+|".*")\);', line) for line in contents.splitlines()
    )

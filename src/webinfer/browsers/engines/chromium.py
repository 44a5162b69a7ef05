"""How browsers of the Chromium family are started: Chromium, Chrome, Edge and the embedded headless shell."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.discovery.headless_shell import library_path
from webinfer.browsers.engines.launch_plan import LaunchPlan, Machine, environment, profile_of
from webinfer.core.errors import LaunchFailed

# Needed for what we run.
_ABILITIES = (
    "--enable-unsafe-webgpu",  # WebGPU on systems where it is still behind a flag (Linux), and on software adapters.
    "--enable-webgpu-developer-features",  # The adapter's type, driver and description: the verdict's evidence.
    "--disable-gpu-watchdog",  # It kills a GPU process that computes for long, which inference in software does.
    "--disable-ipc-flooding-protection",
)

# A page that nobody looks at must run at full speed.
_NO_THROTTLING = (
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--disable-hang-monitor",
)

# Neither questions, nor reports, nor traffic of its own.
_QUIET = (
    "--no-first-run",
    "--no-default-browser-check",
    "--noerrdialogs",
    "--no-pings",
    "--no-service-autorun",
    "--mute-audio",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-field-trial-config",
    "--disable-client-side-phishing-detection",
    "--disable-search-engine-choice-screen",
    "--disable-quic",
    "--metrics-recording-only",
    "--no-proxy-server",  # The page is on this machine; looking for a proxy costs time and may find a wrong one.
    "--password-store=basic",
    "--use-mock-keychain",
)

_ENABLED = ("WebMachineLearningNeuralNetwork",)
_DISABLED = (
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "DialMediaRouteProvider",
    "GlobalMediaControls",
    "InterestFeedContentSuggestions",
    "MediaRouter",
    "OptimizationHints",
    "Translate",
)

# Only the three fonts that came along: scanning the system's takes time, and where there are none it complains.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


def plan_chromium(
    installation: Installation,
    url: str,
    home: Path,
    *,
    headless: bool,
    args: tuple[str, ...],
    machine: Machine,
    inherited: Mapping[str, str],
) -> LaunchPlan:
    """Plan the launch of a Chromium. See ``Planner``.

    Args:
        installation: The browser.
        url: The page to open.
        home: Directory of this launch.
        headless: Whether it runs without a window.
        args: Arguments of the user's.
        machine: What the machine has.
        inherited: The environment.

    Returns:
        Command, environment and files.

    Raises:
        LaunchFailed: A window is asked of the headless shell, which has none.
    """
    shell = "headless" in installation.executable.name
    if shell and not headless:
        raise LaunchFailed(
            f"{installation.executable} cannot show a window: use headless=True or another browser, such as 'chrome'.",
            browser=installation.name,
        )
    rest, features = _split_features(args)
    argv = (
        str(installation.executable),
        *(("--headless=shell" if shell else "--headless",) if headless else ()),
        f"--user-data-dir={profile_of(home)}",
        *_ABILITIES,
        *_NO_THROTTLING,
        *_QUIET,
        *_for_machine(machine),
        *rest,
        "--enable-features=" + ",".join((*_ENABLED, *_for_gpu(machine), *features["--enable-features"])),
        "--disable-features=" + ",".join((*_DISABLED, *features["--disable-features"])),
        url,
    )
    env = environment(home, inherited, headless=headless)
    if installation.libraries is not None:
        env["LD_LIBRARY_PATH"] = library_path(installation.libraries, inherited)
    return _with_fonts(LaunchPlan(argv, env), installation.executable.parent / "fonts", home)


def _for_machine(machine: Machine) -> tuple[str, ...]:
    """Return the arguments that this machine needs."""
    wanted = (
        (machine.root, "--no-sandbox"),
        (machine.small_shared_memory, "--disable-dev-shm-usage"),
        (not machine.gpu, "--use-webgpu-adapter=swiftshader"),  # Never where there is a GPU: it would not be used.
        (machine.gpu and sys.platform == "linux", "--use-angle=vulkan"),
    )
    return tuple(argument for needed, argument in wanted if needed)


def _for_gpu(machine: Machine) -> tuple[str, ...]:
    """Return the features without which Chromium on Linux leaves the GPU's Vulkan driver alone."""
    return ("Vulkan", "VulkanFromANGLE") if machine.gpu and sys.platform == "linux" else ()


def _split_features(args: tuple[str, ...]) -> tuple[list[str], dict[str, list[str]]]:
    """Return the arguments without lists of features, and those lists: Chromium heeds only the last list."""
    rest: list[str] = []
    features: dict[str, list[str]] = {"--enable-features": [], "--disable-features": []}
    for argument in args:
        switch, _, value = argument.partition("=")
        if switch in features:
            features[switch] += value.split(",")
        else:
            rest.append(argument)
    return rest, features


def _with_fonts(plan: LaunchPlan, fonts: Path, home: Path) -> LaunchPlan:
    """Return the plan with the fonts that came with the browser, if any did."""
    if not fonts.is_dir():
        return plan
    configuration = home / "fonts.conf"
    contents = _FONTS.format(fonts=fonts, cache=home / "fonts-cache")
    return LaunchPlan(
        plan.argv, {**plan.env, "FONTCONFIG_FILE": str(configuration)}, {**plan.files, configuration: contents}
    )

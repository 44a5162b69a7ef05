"""How browsers of the Firefox family are started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from webinfer.browsers.discovery.find import Installation
from webinfer.browsers.engines.launch_plan import LaunchPlan, Machine, environment, profile_of

_MAX = 2**31 - 1

# Needed for what we run.
_ABILITIES: dict[str, bool | int | str] = {
    "dom.webgpu.enabled": True,
    "dom.webgpu.workers.enabled": True,
    "gfx.webgpu.ignore-blocklist": True,
    "dom.workers.maxPerDomain": 512,
    "network.websocket.max-message-size": _MAX,
    "dom.allow_scripts_to_close_windows": True,  # The page closes itself when its host is gone.
}

# A page that nobody looks at must run at full speed, for as long as it takes.
_NO_THROTTLING: dict[str, bool | int | str] = {
    "dom.ipc.processPriorityManager.enabled": False,
    "dom.max_script_run_time": 0,
    "dom.min_background_timeout_value": 4,
    "dom.timeout.enable_budget_timer_throttling": False,
    "dom.suspend_inactive.enabled": False,
    "widget.windows.window_occlusion_tracking.enabled": False,
}

# No add-ons, not even a look for them: a third of the time to the first page.
_NO_EXTENSIONS: dict[str, bool | int | str] = {
    "extensions.enabledScopes": 0,
    "extensions.installDistroAddons": False,
    "extensions.startupScanScopes": 0,
    "extensions.webextensions.remote": False,
}

# Neither questions, nor reports, nor traffic of its own.
_QUIET: dict[str, bool | int | str] = {
    "app.normandy.enabled": False,
    "app.normandy.api_url": "",
    "app.shield.optoutstudies.enabled": False,
    "app.update.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.aboutwelcome.enabled": False,
    "browser.cache.disk.enable": False,
    "browser.contentblocking.introCount": 99,
    "browser.discovery.enabled": False,
    "browser.ml.enable": False,
    "browser.newtabpage.activity-stream.asrouter.providers.cfr": "null",
    "browser.newtabpage.enabled": False,
    "browser.pagethumbnails.capturing_disabled": True,
    "browser.ping-centre.telemetry": False,
    "browser.region.network.url": "",
    "browser.region.update.enabled": False,
    "browser.safebrowsing.blockedURIs.enabled": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.safebrowsing.update.enabled": False,
    "browser.search.update": False,
    "browser.sessionstore.resume_from_crash": False,
    "browser.sessionstore.interval": _MAX,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "browser.startup.page": 0,
    "browser.tabs.warnOnClose": False,
    "browser.tabs.unloadOnLowMemory": False,
    "browser.topsites.contile.enabled": False,
    "browser.translations.enable": False,
    "browser.uitour.enabled": False,
    "browser.warnOnQuit": False,
    "datareporting.healthreport.uploadEnabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "datareporting.usage.uploadEnabled": False,
    "dom.push.connection.enabled": False,
    "extensions.blocklist.enabled": False,
    "extensions.getAddons.cache.enabled": False,
    "extensions.systemAddon.update.enabled": False,
    "extensions.update.enabled": False,
    "geo.enabled": False,
    "media.gmp-manager.updateEnabled": False,
    "media.gmp-provider.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.speculative-parallel-limit": 0,
    "network.proxy.type": 0,
    "network.trr.mode": 5,
    "security.OCSP.enabled": 0,
    "services.settings.server": "data:,",
    "signon.rememberSignons": False,
    "startup.homepage_welcome_url": "about:blank",
    "toolkit.crashreporter.enabled": False,
    "toolkit.startup.max_resumed_crashes": -1,
    "toolkit.telemetry.enabled": False,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
    "toolkit.telemetry.server": "",
    "toolkit.telemetry.unified": False,
    "trailhead.firstrun.didSeeAboutWelcome": True,
}


def plan_firefox(
    installation: Installation,
    url: str,
    home: Path,
    *,
    headless: bool,
    args: tuple[str, ...],
    machine: Machine,
    inherited: Mapping[str, str],
) -> LaunchPlan:
    """Plan the launch of a Firefox. See ``Planner``. Whatever the machine, Firefox finds its own way.

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
    """
    del machine
    profile = profile_of(home)
    argv = (
        str(installation.executable),
        *(("--headless",) if headless else ()),
        "--no-remote",
        "--new-instance",
        "--profile",
        str(profile),
        *args,
        url,
    )
    env = environment(home, inherited, headless=headless)
    env.update(MOZ_CRASHREPORTER_DISABLE="1", MOZ_DATA_REPORTING="0", MOZ_DISABLE_AUTO_SAFE_MODE="1")
    return LaunchPlan(argv, env, {profile / "user.js": _preferences()})


def _preferences() -> str:
    values = {**_ABILITIES, **_NO_THROTTLING, **_NO_EXTENSIONS, **_QUIET}
    return "".join(f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in values.items())

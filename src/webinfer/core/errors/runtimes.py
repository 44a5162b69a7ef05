"""Errors of what runs models: backends, browsers, and what died under a request."""

from __future__ import annotations

from webinfer.core.errors.base import WebinferError


class BackendError(WebinferError):
    """The runtime inside the browser failed."""

    code = "backend"


class BackendUnavailable(BackendError):
    """This browser cannot run that backend."""

    code = "backend.unavailable"


class LoadFailed(BackendError):
    """The runtime could not make a session of the model."""

    code = "backend.load"


class RunFailed(BackendError):
    """The runtime failed while it ran the model."""

    code = "backend.run"


class SoftwareAdapter(BackendError):
    """That hardware computes is not proven, and the option `require_hardware` wants it to be."""

    code = "backend.software"


class OperatorFallback(BackendError):
    """The backend does not run every node itself, and the option `require` is `no-fallback`."""

    code = "backend.fallback"


class OutOfMemory(BackendError, MemoryError):
    """The browser had too little memory for the model or a tensor."""

    code = "backend.memory"


class HandleLost(BackendError):
    """A tensor kept in a browser is gone, with its lane or session; start over from what it was made of."""

    code = "backend.handle"
    retryable = True


class BrowserError(WebinferError):
    """A browser could not be had."""

    code = "browser"


class BrowserNotFound(BrowserError, LookupError):
    """No such browser is installed here."""

    code = "browser.not_found"


class InstallFailed(BrowserError):
    """The embedded browser could not be installed."""

    code = "browser.install"


class LaunchFailed(BrowserError):
    """The browser was started and never dialled back."""

    code = "browser.launch"


class LostError(WebinferError):
    """Something died under a request; the same request may succeed elsewhere."""

    code = "lost"
    retryable = True


class DeviceLost(LostError):
    """The browser lost its GPU device."""

    code = "lost.device"


class LaneLost(LostError):
    """The lane's worker ended."""

    code = "lost.lane"


class RuntimeDied(LaneLost):
    """The runtime in a lane died of what it computed; where `platform` is `auto`, another backend takes its place."""

    code = "lost.runtime"


class SocketLost(LostError):
    """The WebSocket to the browser closed."""

    code = "lost.socket"


class BrowserLost(LostError):
    """The browser ended or went silent."""

    code = "lost.browser"

"""The guide's global resource pool: resources shared by name in this process."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from webinfer.core.errors import OptionError

INTEGRATIONS = ("ipfs_web_integration", "web_platform_integration")
"""Two names of one resource: the first integration that is open, or a new one."""


class ResourcePool:
    """Resources shared by name. A resource is made when it is first used.

    Args:
        integration: Makes an integration if the caller gives no constructor.
    """

    def __init__(self, integration: Callable[[], Any] | None = None) -> None:
        self.integration = integration
        self._lock = threading.RLock()  # a constructor may itself ask for a resource
        self._resources: dict[tuple[str, str | None], Any] = {}
        self._shared: weakref.ref[Any] | None = None  # weak, so that the pool does not keep browsers open

    def __repr__(self) -> str:
        return f"<ResourcePool {[name for name, _ in self._resources]}>"

    def get_resource(
        self, resource_type: str, resource_id: str | None = None, constructor: Callable[[], Any] | None = None
    ) -> Any:
        """Return a resource.

        Args:
            resource_type: ``ipfs_web_integration`` or ``web_platform_integration``, which need no constructor, or a
                name that the caller chooses.
            resource_id: Distinguishes resources of one type.
            constructor: Makes the resource if there is none.

        Raises:
            OptionError: There is no such resource and no constructor.
        """
        built_in = resource_type in INTEGRATIONS
        key = (INTEGRATIONS[0] if built_in else resource_type, resource_id)
        with self._lock:
            if built_in and resource_id is None and self._shared is not None and (shared := self._shared()) is not None:
                return shared
            if key not in self._resources:
                make = constructor or (self.integration if built_in else None)
                if make is None:
                    raise OptionError(
                        f"There is no resource {resource_type!r}: pass a constructor, or ask for one of "
                        f"{', '.join(INTEGRATIONS)}.",
                        option="resource_type",
                    )
                shared_before = self._shared
                self._resources[key] = make()
                if resource_id is not None:
                    self._shared = shared_before  # an integration shares itself when made; one with an id must not
            return self._resources[key]

    def share(self, integration: Any) -> None:
        """Share this integration while its maker keeps it, unless another one is shared already.

        Args:
            integration: The integration.
        """
        with self._lock:
            if self._shared is None or self._shared() is None:
                self._shared = weakref.ref(integration)

    def forget(self, resource: Any) -> None:
        """Stop sharing a resource that was closed.

        Args:
            resource: The resource.
        """
        with self._lock:
            if self._shared is not None and self._shared() is resource:
                self._shared = None
            self._resources = {key: value for key, value in self._resources.items() if value is not resource}


_GLOBAL = ResourcePool()


def get_global_resource_pool() -> ResourcePool:
    """Return the process's pool of resources."""
    return _GLOBAL


def share(integration: Any) -> None:
    """Register an integration with the global pool.

    Args:
        integration: The integration.
    """
    _GLOBAL.share(integration)


def forget(resource: Any) -> None:
    """Take a resource out of the global pool.

    Args:
        resource: The resource.
    """
    _GLOBAL.forget(resource)


def provide(integration: Callable[[], Any]) -> None:
    """Set how the global pool makes integrations.

    Args:
        integration: Makes an integration.
    """
    _GLOBAL.integration = integration

"""The global resource pool hands out what there is, and makes what there is not."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from resource_pool import get_global_resource_pool
from webinfer.compat import IPFSAccelerateWebIntegration, ResourcePool
from webinfer.core.errors import OptionError


@pytest.fixture
def empty() -> Iterator[ResourcePool]:
    """The global pool, which the integrations of other tests may be in."""
    pool = get_global_resource_pool()
    while (found := pool._shared and pool._shared()) is not None:
        pool.forget(found)
    yield pool
    for resource in tuple(pool._resources.values()):
        if isinstance(resource, IPFSAccelerateWebIntegration):
            resource.close()


def test_resource_is_made_once() -> None:
    pool = ResourcePool()
    first = pool.get_resource("tokenizer", constructor=list)
    assert pool.get_resource("tokenizer", constructor=list) is first
    assert pool.get_resource("tokenizer", "other", list) is not first


def test_resource_that_nobody_can_make_is_refused() -> None:
    with pytest.raises(OptionError, match=r"no resource 'gpu'.*ipfs_web_integration"):
        ResourcePool().get_resource("gpu")


def test_integration_that_exists_is_handed_out_under_both_names(empty: ResourcePool) -> None:
    with IPFSAccelerateWebIntegration() as integration:
        assert empty.get_resource("ipfs_web_integration") is integration
        assert empty.get_resource("web_platform_integration") is integration


def test_integration_is_made_when_there_is_none(empty: ResourcePool) -> None:
    made = empty.get_resource("ipfs_web_integration")
    assert isinstance(made, IPFSAccelerateWebIntegration)
    assert empty.get_resource("web_platform_integration") is made


def test_closed_integration_is_not_handed_out_again(empty: ResourcePool) -> None:
    made = empty.get_resource("ipfs_web_integration")
    made.close()
    assert empty.get_resource("ipfs_web_integration") is not made


def test_integration_with_an_id_is_one_of_its_own(empty: ResourcePool) -> None:
    named = empty.get_resource("ipfs_web_integration", "second")
    assert empty.get_resource("ipfs_web_integration") is not named
    assert empty.get_resource("ipfs_web_integration", "second") is named


def test_pool_does_not_keep_an_integration_alive(empty: ResourcePool) -> None:
    integration = IPFSAccelerateWebIntegration()
    reference = weakref.ref(integration)
    del integration
    gc.collect()
    assert reference() is None

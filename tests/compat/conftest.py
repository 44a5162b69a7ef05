"""The guide's models where its names find them, and one integration on a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.models import build
from webinfer.browsers.discovery.find import find
from webinfer.compat import IPFSAccelerateWebIntegration, IPFSWebAccelerator
from webinfer.core.errors import BrowserNotFound


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models"))


@pytest.fixture
def named_models(models: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEBINFER_MODELS", str(models))
    return models


@pytest.fixture(scope="session")
def embedded() -> None:
    try:
        find("embedded")
    except BrowserNotFound as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def shared(embedded: None) -> Iterator[IPFSAccelerateWebIntegration]:
    with IPFSAccelerateWebIntegration() as integration:
        yield integration


@pytest.fixture
def integration(shared: IPFSAccelerateWebIntegration, named_models: Path) -> IPFSAccelerateWebIntegration:
    return shared


@pytest.fixture
def accelerator(integration: IPFSAccelerateWebIntegration) -> IPFSWebAccelerator:
    return IPFSWebAccelerator(integration)

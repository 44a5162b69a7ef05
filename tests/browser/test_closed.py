"""What is closed says so, whatever is asked of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from tests.browser.conftest import start
from webinfer import Accelerator, Model
from webinfer.core.errors import PoolClosed

pytestmark = pytest.mark.browser

ROW = "a sentence"
ACCELERATOR: dict[str, Callable[[Accelerator, Model], object]] = {
    "limit_memory": lambda accelerator, _: accelerator.limit_memory({"chrome": 1000}),
    "load": lambda accelerator, model: accelerator.load(model.package.model.path),
    "metrics": lambda accelerator, _: accelerator.metrics(),
    "pipeline": lambda accelerator, model: accelerator.pipeline("fill-mask", model.package.model.path),
    "query": lambda accelerator, _: accelerator.query("SELECT 1"),
    "report": lambda accelerator, _: accelerator.report(),
    "run": lambda accelerator, model: accelerator.run(model.package.model.path, ROW),
    "run_parallel": lambda accelerator, model: accelerator.run_parallel([(model, ROW)]),
    "scale_timeouts": lambda accelerator, _: accelerator.scale_timeouts({"audio": 2.0}),
    "snapshot": lambda accelerator, _: accelerator.snapshot(),
    "start": lambda accelerator, _: accelerator.start(),
}
MODEL: dict[str, Callable[[Model], object]] = {
    "embed": lambda model: model.embed("a sentence"),
    "load": lambda model: model.load(),
    "run": lambda model: model.run(ROW),
    "run_batch": lambda model: model.run_batch([ROW, ROW]),
    "set_max_batch_size": lambda model: model.set_max_batch_size(8),
    "submit": lambda model: model.submit(ROW).result(60),
    "profile": lambda model: model.profile(ROW),
    "prove_hardware": lambda model: model.prove_hardware(),
    "tune": lambda model: model.tune(1.0),
    "warm_up": lambda model: model.warm_up(),
}


def methods(kind: type) -> set[str]:
    """Return the names of a class's public methods, but for ``close`` itself."""
    return {name for name, _ in inspect.getmembers(kind, inspect.isfunction) if name[0] != "_"} - {"close"}


@pytest.fixture(scope="module")
def closed() -> tuple[Accelerator, Model]:
    """An accelerator that was closed, and a model of it."""
    accelerator = start("embedded")
    model = accelerator.load("wheel:all-MiniLM-L6-v2", platform="wasm")
    accelerator.close()
    return accelerator, model


@pytest.fixture
def closed_model(embedded: Accelerator) -> Model:
    """A model that was closed, of an accelerator that is open."""
    model = embedded.load("wheel:all-MiniLM-L6-v2", platform="wasm")
    model.close()
    return model


def test_tables_name_every_method() -> None:
    assert methods(Accelerator) == ACCELERATOR.keys()
    assert methods(Model) == MODEL.keys()


@pytest.mark.parametrize("name", ACCELERATOR)
def test_closed_accelerator_refuses(closed: tuple[Accelerator, Model], name: str) -> None:
    with pytest.raises(PoolClosed, match="make a new one"):
        ACCELERATOR[name](*closed)


@pytest.mark.parametrize("name", MODEL)
def test_model_of_a_closed_accelerator_refuses(closed: tuple[Accelerator, Model], name: str) -> None:
    with pytest.raises(PoolClosed, match="make a new one"):
        MODEL[name](closed[1])


@pytest.mark.parametrize("name", MODEL)
def test_closed_model_refuses(closed_model: Model, name: str) -> None:
    with pytest.raises(PoolClosed, match="load it again"):
        MODEL[name](closed_model)


def test_what_is_closed_may_be_closed_again(closed: tuple[Accelerator, Model], closed_model: Model) -> None:
    closed[0].close()
    closed_model.close()

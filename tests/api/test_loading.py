"""What is known of a precision before it is tried, and what is taken in its place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from webinfer.api import loading
from webinfer.api.loading import ModelLoader
from webinfer.api.order import Order
from webinfer.api.router import precision_obstacle
from webinfer.core.errors import BrowserLost, LostError
from webinfer.inference.route import Choice

SMOLLM2 = 134_479_872  # weights of 8 bits, with which WebNN's runtime was seen to end the page
LARGEST = 127_401_984  # with which it ran


@pytest.mark.parametrize(
    ("backend", "count", "fits"), [("webnn", SMOLLM2, False), ("webnn", LARGEST, True), ("wasm", SMOLLM2, True)]
)
def test_weights_of_8_bits_that_webnn_cannot_restore_are_refused_before_they_cost_a_page(
    backend: Any, count: int, fits: bool
) -> None:
    package: Any = SimpleNamespace(precision="q8", quantized={"weights_by_bits": {"8": count}})
    capabilities: Any = SimpleNamespace(report={})
    why = precision_obstacle(package, backend, capabilities)
    assert why is None if fits else "134 million weights of 8 bits" in str(why)


@pytest.mark.parametrize("asked", ["auto", "webnn"])
async def test_page_that_is_lost_in_loading_is_no_end_where_any_backend_would_do(asked: Any) -> None:
    taken = []

    async def load(pool: Any, package: Any, choice: Choice, *_: Any) -> str:
        taken.append((choice.backend, choice.reason))
        if choice.backend == "webnn":
            raise BrowserLost("its page is gone")
        return "loaded"

    loader: Any = SimpleNamespace(_load_there=load)
    given: Any = (None, SimpleNamespace(name="m"), Choice(asked, "webnn", None), Order("m"))
    if asked == "webnn":
        with pytest.raises(LostError):
            await ModelLoader._load_somewhere(loader, *given)
        return
    assert str(await ModelLoader._load_somewhere(loader, *given)) == "loaded"
    assert taken == [("webnn", None), ("wasm", "webnn could not load it (its page is gone), so wasm was taken")]


@pytest.mark.parametrize(
    ("mode", "others", "begins"),
    [("auto", (), True), ("raise", (), True), ("off", (), False), ("auto", ("q4",), False)],
)
async def test_native_runs_begin_with_the_browsers_start(
    mode: Any, others: Any, begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, expected = object(), list[object]()

    async def find(order: Order) -> object:
        return package

    monkeypatch.setattr(loading, "find_package", find)
    lifecycle = SimpleNamespace(options=SimpleNamespace(accuracy=mode))
    loader: Any = SimpleNamespace(_lifecycle=lifecycle, _native=SimpleNamespace(expect=expected.append))
    assert await ModelLoader._find(loader, Order("m", others=others)) is package
    assert expected == ([package] if begins else [])

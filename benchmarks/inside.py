"""Running by hand: workers of a page that run a model over and over, with Python out of the way."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.by_hand import PRELUDE, addresses, dialled
from webinfer.browsers.discovery.find import Installation
from webinfer.core.errors import LoadFailed
from webinfer.core.options import Backend
from webinfer.models.files.package import ModelPackage

_PATIENCE = 120.0  # seconds, beyond what a worker is told to run

_WORKER = (
    PRELUDE
    + """
const { model, external, backend, dimensions, inputs } = MODEL;
const provider = async () => {
  if (backend === "wasm") return backend;
  if (backend === "webgpu") return { name: backend };
  return { name: backend, context: await navigator.ml.createContext({ deviceType: "cpu" }), deviceType: "cpu" };
};
const array = { int64: (values) => BigInt64Array.from(values, BigInt), float32: (values) => Float32Array.from(values) };
const tensor = ([name, dtype, shape, values]) => [name, new ort.Tensor(dtype, array[dtype](values), shape)];
const create = async () =>
  ort.InferenceSession.create(await bytes(model), {
    executionProviders: [await provider()],
    freeDimensionOverrides: dimensions,
    externalData: await Promise.all(external.map(file)),
  });
const feeds = Object.fromEntries(inputs.map(tensor));
let session;
const loop = async ({ seconds }) => {
  session ??= await create();
  let count = 0, answer;
  const began = performance.now();
  while (performance.now() - began < seconds * 1e3) {
    answer = await session.run(feeds);
    count++;
  }
  const taken = (performance.now() - began) / 1e3;
  return { count, seconds: taken, output: Array.from(await answer[session.outputNames[0]].getData()) };
};
const socket = new WebSocket(`ws://${location.host}/ws`);
const answer = (fields) => socket.send(JSON.stringify(fields));
socket.onmessage = ({ data }) => loop(JSON.parse(data)).then(answer, (error) => answer({ error: `${error}` }));
"""
)

Looping = Callable[[float], Awaitable[float]]
"""Has every worker run for so many seconds; returns the runs per second of all together."""


@contextlib.asynccontextmanager
async def looping_by_hand(
    installation: Installation,
    package: ModelPackage,
    backend: Backend,
    inputs: Mapping[str, NDArray[Any]],
    expected: NDArray[np.float32],
    workers: int,
) -> AsyncIterator[Looping]:
    """Start a browser whose workers run one model, each on one thread, and have each run once.

    Args:
        installation: The browser.
        package: The model.
        backend: Backend that runs it.
        inputs: The one request that they run; int64 or float32, and of the shapes that symbolic dimensions get.
        expected: The model's first output for it, which the workers must compute too.
        workers: How many.

    Raises:
        LoadFailed: The page cannot run it.
        AssertionError: The page computes something else.
    """
    declared = {spec.name: spec.shape for spec in package.signature.inputs}
    sizes = (
        (size, given) for name, array in inputs.items() for size, given in zip(declared[name], array.shape, strict=True)
    )
    where = addresses(package)
    model = {
        "model": where["url"],
        "external": where["external"],
        "backend": backend,
        "dimensions": {str(size): given for size, given in sizes if not isinstance(size, int)},
        "inputs": [(name, str(each.dtype), each.shape, each.ravel().tolist()) for name, each in inputs.items()],
    }
    source = _WORKER.replace("THREADS", "1").replace("MODEL", json.dumps(model))
    async with dialled(installation, [package], source, workers) as sockets:

        async def loop(seconds: float) -> float:
            for socket in sockets:
                await socket.send_json({"seconds": seconds})
            done = [await socket.receive_json(timeout=seconds + _PATIENCE) for socket in sockets]
            for each in done:
                if "error" in each:
                    raise LoadFailed(f"By hand, {package.name} does not run: {each['error']}")
                np.testing.assert_allclose(each["output"], expected.ravel(), rtol=1e-3, atol=1e-4)
            return float(sum(each["count"] / each["seconds"] for each in done))

        await loop(0.001)
        yield loop

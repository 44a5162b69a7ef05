"""A page whose runtime has wrong kernels: what a graph with one of them answers is too large, by a twentieth or more;
and with one that ends the lane.

Nothing of this is in the product: the page is laid out anew, with a module around each of the real runtimes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx

from webinfer.transport import server as host

ALL = ["wasm", "webnn", "webgpu"]
KERNELS = {
    "Relu": ALL,
    "Sigmoid": ["wasm"],
    "Tanh": ["webgpu"],
    "Elu": ["webnn"],
    "DynamicQuantizeLinear": ALL,
    "Softplus": ALL,
}
"""Backends that have an operator wrong. A graph goes to the runtime before its nodes are fused."""
FACTORS = {"DynamicQuantizeLinear": 1.3}
"""How wrong, where it is not a twentieth: answers that are rounded to whole numbers on the way may differ by more."""
ENGINES = {"Softplus": "Firefox"}
"""The engine that alone has an operator wrong, by what it calls itself."""
FATAL = {"Softsign": ["webnn"]}
"""Backends whose runs of an operator end the lane's worker."""

PAGE = host.WEB
_MODULE = """
import * as real from "./real.{name}";
export * from "./real.{name}";
const kernels = Object.entries({kernels});
const fatal = Object.entries({fatal});
async function create(...given) {{
  const [provider] = given[1].executionProviders;
  const graph = new TextDecoder("latin1").decode(given[0]);
  const lie = kernels.find(
    ([name, on]) =>
      on.includes(provider.name ?? provider) &&
      graph.includes(name) &&
      navigator.userAgent.includes({engines}[name] ?? ""),
  );
  const factor = lie && ({factors}[lie[0]] ?? 1.05);
  const ends = fatal.some(([name, on]) => on.includes(provider.name ?? provider) && graph.includes(name));
  const session = await real.InferenceSession.create(...given);
  const run = session.run.bind(session);
  session.run = async (...asked) => {{
    if (ends) {{
      globalThis.close();
      await new Promise(() => {{}});
    }}
    const outputs = await run(...asked);
    for (const {{ data }} of factor ? Object.values(outputs) : []) {{
      data.forEach((value, at) => (data[at] = value * factor));
    }}
    return outputs;
  }};
  return session;
}}
export const InferenceSession = {{ create }};
"""


def wrong_page(place: Path) -> Path:
    """Lay out the page with these kernels."""
    (place / "runtime").mkdir(parents=True)
    for file in PAGE.iterdir():
        if file.name != "runtime":
            shutil.copytree(file, place / file.name) if file.is_dir() else shutil.copy(file, place / file.name)
    for file in (PAGE / "runtime").iterdir():
        if file.suffix == ".mjs":
            shutil.copy(file, place / "runtime" / f"real.{file.name}")
            tables = {"kernels": KERNELS, "fatal": FATAL, "factors": FACTORS, "engines": ENGINES}
            module = _MODULE.format(name=file.name, **{name: json.dumps(table) for name, table in tables.items()})
            (place / "runtime" / file.name).write_text(module, encoding="utf-8")
        else:
            shutil.copy(file, place / "runtime" / file.name)
    return place


def wrong_on(backend: str, perceptron: Path) -> Path:
    """Write a perceptron that is wrong on one backend alone."""
    operator = next(name for name, on in KERNELS.items() if on == [backend])
    return _write(operator, perceptron, f"wrong on {backend}.onnx")


def wrong_in_firefox(perceptron: Path) -> Path:
    """Write a perceptron that is wrong in Firefox alone."""
    return _write("Softplus", perceptron, "wrong in Firefox.onnx")


def _write(operator: str, perceptron: Path, name: str) -> Path:
    model = onnx.load(perceptron)
    for node in model.graph.node:
        if node.op_type == "Relu":
            node.op_type = operator
    path = perceptron.with_name(name)
    onnx.save(model, path)
    return path

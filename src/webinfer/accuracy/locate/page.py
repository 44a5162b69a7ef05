"""A page that shows a fault with nothing but ONNX Runtime Web, to be attached to a report."""

from __future__ import annotations

import base64
import html
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.locate.location import Location

RUNTIME = "https://cdn.jsdelivr.net/npm/onnxruntime-web@{version}/dist/ort.webgpu.bundle.min.mjs"
"""Where the page gets the runtime from, unless its address ends in ``?ort=`` and another one."""


def write_page(location: Location, model: Path, about: dict[str, str], backend: str, version: str) -> str:
    """Return the page.

    Args:
        location: Where the model goes wrong.
        model: The ONNX file that shows it, with its weights inside.
        about: What was measured where, by names that people read.
        backend: The backend that is wrong.
        version: Version of ONNX Runtime Web.

    Returns:
        HTML in one file: the model, its inputs and the right outputs are inside.
    """
    data = {
        "runtime": RUNTIME.format(version=version),
        "backend": backend,
        "limit": location.limit,
        "model": base64.b64encode(model.read_bytes()).decode(),
        "inputs": {name: _tensor(array) for name, array in location.inputs.items()},
        "outputs": {name: _tensor(array) for name, array in location.outputs.items()},
    }
    facts = {
        **about,
        "operator": location.operator,
        "attributes": json.dumps(location.attributes),
        "seen": location.fault,
    }
    rows = "".join(f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in facts.items())
    template = files("webinfer.accuracy.locate").joinpath("page.html").read_text(encoding="utf-8")
    script = json.dumps(data).replace("<", "\\u003c")  # no value may end the script
    return (
        template.replace("{{title}}", html.escape(f"{location.operator} on {backend}"))
        .replace("{{facts}}", rows)
        .replace("{{data}}", script)
    )


def _tensor(array: NDArray[Any]) -> dict[str, Any]:
    """Return a tensor as JSON: its bytes in base64, as ONNX Runtime Web's names of dtypes have them."""
    contiguous = np.ascontiguousarray(array)
    return {
        "type": str(contiguous.dtype),
        "dims": list(array.shape),
        "data": base64.b64encode(contiguous.tobytes()).decode(),
    }

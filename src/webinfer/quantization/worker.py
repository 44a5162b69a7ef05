"""The process that quantizes a model: ``python -m webinfer.quantization.worker``; see ``core.lifetime.worker``."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from webinfer.core.errors import NotQuantizable, WebinferError
from webinfer.core.lifetime.worker import Notify, serve
from webinfer.models.files.package import describe
from webinfer.quantization.quantizer import make
from webinfer.quantization.weights.scheme import scheme_of


def work(order: dict[str, Any], notify: Notify) -> dict[str, Any]:
    """Bring a model to a precision.

    Args:
        order: The model, the precision, and where to write.
        notify: Takes the part that is done.

    Returns:
        The report that is kept beside the model.

    Raises:
        NotQuantizable: It cannot be done.
        WebinferError: As ``make``.
    """
    try:
        package = describe(Path(order["path"]), order["reference"], order["name"])
        given: list[Mapping[str, Any]] = [dict(np.load(path, allow_pickle=False)) for path in order["inputs"]]
        scheme, directory = scheme_of(order["precision"]), Path(order["directory"])
        return make(package, scheme, directory, notify, method=order["method"], given=given or None)
    except WebinferError:
        raise
    except Exception as error:  # of the tools: who asked is to know, and has no other way to
        why = f"Bringing {order['name']} to {order['precision']} failed: {type(error).__name__}: {error}"
        raise NotQuantizable(why, reason="failed", traceback=traceback.format_exc()) from error


if __name__ == "__main__":
    serve(work)

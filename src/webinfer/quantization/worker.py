"""The process that quantizes a model: ``python -m webinfer.quantization.worker``, one job on standard input.

It answers on standard output, one JSON object to a line: ``{"part": 0.5}`` as it goes, and at last
``{"report": ...}`` or ``{"error": ...}``. It ends when its standard input does, so that it never outlives who asked.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from webinfer.core.errors import NotQuantizable, WebinferError
from webinfer.models.files.package import describe
from webinfer.quantization.quantizer import make
from webinfer.quantization.weights.scheme import scheme_of


def main() -> None:
    """Do the job that standard input tells of."""
    answer = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print is no answer
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_follow, daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answer, flush=True)

    try:
        package = describe(Path(job["path"]), job["reference"], job["name"])
        given: list[Mapping[str, Any]] = [dict(np.load(path, allow_pickle=False)) for path in job["inputs"]]
        scheme, directory = scheme_of(job["precision"]), Path(job["directory"])
        report = make(
            package, scheme, directory, lambda part: tell({"part": part}), method=job["method"], given=given or None
        )
    except WebinferError as error:
        tell({"error": error.to_dict()})
    except Exception as error:  # of the tools: who asked is to know, and has no other way to
        why = f"Bringing {job['name']} to {job['precision']} failed: {type(error).__name__}: {error}"
        data = {"reason": "failed", "traceback": traceback.format_exc()}
        tell({"error": NotQuantizable(why, **data).to_dict()})
    else:
        tell({"report": report})


def _follow() -> None:
    """End with who asked."""
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()

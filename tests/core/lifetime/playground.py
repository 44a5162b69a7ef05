"""A worker process that does what tests ask for."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np

from webinfer.core.errors import RunFailed
from webinfer.core.lifetime.worker import Notify, serve, watch_memory


def work(order: dict[str, Any], notify: Notify) -> dict[str, Any]:
    do = order["do"]
    if do == "fail":
        raise RunFailed("it failed", reason="asked")
    if do == "end":
        os._exit(3)
    if do == "sleep":
        notify("asleep")
        time.sleep(600)
    if do == "print":
        print("no answer", file=sys.stdout)
    if do == "allocate":
        try:
            np.ones(order["nbytes"], np.uint8)
        except MemoryError as error:
            raise RunFailed("no memory") from error
    if do == "watch":
        watch_memory(0)
    return {"pid": os.getpid()}


if __name__ == "__main__":
    serve(work)

"""The inside of a worker process: jobs come on standard input, one JSON object to a line, and are done one by one.

Each job is answered on standard output: ``{"notice": ...}`` as it goes, and at last ``{"report": ...}`` or
``{"error": ...}``. The process ends when its standard input does, so that it never outlives who asked.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from webinfer.core.errors import WebinferError

Notify = Callable[[Any], None]
Work = Callable[[dict[str, Any], Notify], dict[str, Any]]

_INTERVAL = 0.2  # seconds between looks at memory, where the system itself sets no limit


def serve(work: Work) -> None:
    """Do the jobs that come on standard input, until it ends.

    Args:
        work: Does one job. It takes the order and a function that passes notices on, and returns the report.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever libraries print is no answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who asked, who ends this process
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders,), daemon=True).start()

    def tell(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    while True:
        order = orders.get()
        if order.get("memory_mb") is not None:
            limit_memory(int(order["memory_mb"] * 1e6))
        try:
            report = work(order, lambda notice: tell({"notice": notice}))
        except WebinferError as error:
            tell({"error": error.to_dict()})
        else:
            tell({"report": report})


def limit_memory(nbytes: int) -> None:
    """Let this process take so much memory beyond what it has, and no more.

    Linux refuses more, which libraries raise as their own errors. Files that are mapped do not count. Elsewhere a
    thread ends the process.

    Args:
        nbytes: Bytes.
    """
    if sys.platform == "linux":
        import resource  # late: only Unix has it

        _, hardest = resource.getrlimit(resource.RLIMIT_DATA)
        most = _data() + nbytes
        if hardest != resource.RLIM_INFINITY:
            most = min(most, hardest)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_DATA, (most, hardest))
        return
    threading.Thread(target=watch_memory, args=(psutil.Process().memory_info().rss + nbytes,), daemon=True).start()


def watch_memory(most: int) -> None:
    """End this process as soon as it takes more memory than it may.

    Args:
        most: Bytes that it may have in all.
    """
    process = psutil.Process()
    while process.memory_info().rss <= most:
        time.sleep(_INTERVAL)
    os._exit(1)


def _data() -> int:
    """Return the bytes that count towards Linux's limit of a process's data."""
    return int(psutil.Process().memory_info().data)


def _read(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass orders on, and end with who asked: at once, though a job be under way in a library."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(1)

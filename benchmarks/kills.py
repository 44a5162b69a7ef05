"""Requests while every browser is killed again and again: how many are answered, rightly, and how long they take.

Several threads ask for vectors of sentences. Meanwhile each browser of the accelerator is killed at a steady interval,
as an impatient system would. Every answer is held against native onnxruntime's.
"""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import psutil

from benchmarks.measure import machine, parser, show
from webinfer import Accelerator, Model
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import WebinferError
from webinfer.models.sources.resolve import resolve

NEAR = 1e-3  # part of the largest value that an answer may be off, as the gate allows


def kill(accelerator: Accelerator, interval: float, ended: threading.Event, kills: Counter[str]) -> None:
    """Kill every browser that runs, at an interval, until it is over."""
    while not ended.wait(interval):
        for browser in accelerator.snapshot().browsers:
            try:
                psutil.Process(browser.pid).kill()
                kills[browser.name] += 1
            except psutil.NoSuchProcess:
                pass  # it was killed a moment ago


def ask(model: Model, native: NativeSession, seed: int, timeout: float) -> tuple[str, float]:
    """Send one request, and return what became of it and the seconds that took."""
    random = np.random.default_rng(seed)
    ids = random.integers(5, 1000, (1, int(random.integers(4, 24))))
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    began = time.perf_counter()
    try:
        result = model.run(inputs, timeout=timeout)
    except WebinferError as error:
        return error.code, time.perf_counter() - began
    seconds = time.perf_counter() - began
    (name, right), *_ = native.run({name: array.astype(np.int64) for name, array in inputs.items()}).items()
    is_right = np.abs(result[name] - right).max() <= NEAR * np.abs(right).max()
    return "right" if is_right else "wrong", seconds


def options_of() -> argparse.Namespace:
    """Return the command line's options."""
    arguments = parser(__doc__)
    arguments.add_argument("--model", default="wheel:all-MiniLM-L6-v2")
    arguments.add_argument("--requests", type=int, default=300)
    arguments.add_argument("--threads", type=int, default=16)
    arguments.add_argument("--interval", type=float, default=2.0, help="seconds between kills")
    arguments.add_argument("--timeout", type=float, default=120.0, help="seconds that a request may take")
    arguments.add_argument("--pause", type=float, default=1.0, help="seconds that a thread waits after each answer")
    return arguments.parse_args()


def main() -> None:
    """Send the requests, and print what became of them."""
    options = options_of()
    count = options.requests // 10 if options.quick else options.requests
    native, kills, ended = NativeSession(resolve(options.model)), Counter[str](), threading.Event()
    with Accelerator(browser=options.browser, platform="wasm") as accelerator, accelerator.load(options.model) as model:
        killer = threading.Thread(target=kill, args=(accelerator, options.interval, ended, kills))
        killer.start()
        began = time.perf_counter()

        def paced(seed: int) -> tuple[str, float]:
            outcome = ask(model, native, seed, options.timeout)
            time.sleep(options.pause)  # so that the requests last for many kills
            return outcome

        with ThreadPoolExecutor(options.threads) as threads:
            outcomes = list(threads.map(paced, range(count)))
        seconds = time.perf_counter() - began
        ended.set()
        killer.join()
    times = sorted(spent for _, spent in outcomes)
    ends = Counter(end for end, _ in outcomes)
    row = [str(count), str(ends.pop("right", 0)), str(ends.pop("wrong", 0)), ", ".join(ends) or "none"]
    row += [str(kills.total()), f"{seconds:.0f} s", f"{times[len(times) // 2]:.2f} s", f"{times[-1]:.2f} s"]
    title = f"{options.threads} threads, each {options.browser} killed every {options.interval:g} s ({machine()})"
    show(title, ["requests", "right", "wrong", "errors", "kills", "time", "median", "longest"], [row])


if __name__ == "__main__":
    main()

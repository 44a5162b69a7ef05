"""A survey: every trial of the atlas, run through one browser and backend.

A trial that ends its lane costs that lane and no other: it has one attempt. Rows are written as they come, so that a
survey that is stopped goes on where it was.
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from webinfer.accuracy.atlas import store
from webinfer.accuracy.atlas.rows import Atlas, Case, Ground, OperatorVerdict, Survey
from webinfer.accuracy.atlas.trials.trial import OperatorTrial
from webinfer.accuracy.comparison import compare, fault, limits_for
from webinfer.api.sync.accelerator import Accelerator
from webinfer.core.errors import (
    BackendUnavailable,
    BrowserError,
    DeadlineExceeded,
    HostError,
    LostError,
    PoolClosed,
    WebinferError,
)
from webinfer.core.options import Backend, Options
from webinfer.inference.result import Result
from webinfer.telemetry.database.machine import machine

_EVERY = 5.0  # seconds between writes of the rows
_PATIENCE = 30.0  # seconds for a load or a run; each trial takes milliseconds
_FILE = "trial.onnx"
_NOTE = 240  # letters of a note; errors of runtimes may run to pages


@dataclass(frozen=True, slots=True)
class Step:
    """How far a survey is.

    Attributes:
        ground: What runs it.
        done: Trials that have a verdict.
        total: All trials.
        case: The one that came last.
        verdict: What became of it; ``None`` where it had been tried before.
    """

    ground: Ground
    done: int
    total: int
    case: Case
    verdict: OperatorVerdict | None


class Surveyor:
    """Runs trials on one backend of one browser, and adds their rows to a file.

    Args:
        options: Options of the accelerator; the browser is theirs.
        backend: The backend.
        path: The file of rows.

    Attributes:
        survey: The rows of this ground, old and new; empty until ``run`` has started the browser.
    """

    def __init__(self, options: Options, backend: Backend, path: Path) -> None:
        self._options = replace(
            options,
            platform=backend,
            accuracy="off",
            retries=0,
            lanes=1,
            max_batch_size=1,
            optimize_graphs=False,
            allow_nan=True,
            progressive_backoff=False,
            load_timeout=_PATIENCE,
            run_timeout=_PATIENCE,
        )
        self._backend = backend
        self._path = path
        self._atlas = store.read(path) if path.exists() else Atlas()
        self._written = time.monotonic()
        self.survey = Survey(Ground(browser=options.browser, engine="", engine_version="", runtime="", backend=backend))

    def __repr__(self) -> str:
        return f"<Surveyor {self._options.browser} {self._backend}>"

    def run(
        self, trials: Sequence[OperatorTrial], *, seconds: float | None = None, again: bool = False
    ) -> Iterator[Step]:
        """Run the trials that have no verdict yet.

        Args:
            trials: The trials.
            seconds: Time after which no new trial begins; ``None`` for no limit.
            again: Whether those that have a verdict are run too.

        Yields:
            A step for each trial.

        Raises:
            BackendUnavailable: The browser cannot run that backend.
            BrowserError: The browser does not start.
        """
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="webinfer-") as folder, closing(Accelerator(self._options)) as browser:
            ground = self._ground(browser, Path(folder))
            self.survey = self._atlas.survey(ground)
            self.survey.ground = ground  # of the same key, and later
            verdicts = self.survey.verdicts
            try:
                for number, trial in enumerate(trials, 1):
                    if seconds is not None and time.monotonic() - began > seconds:
                        break
                    case = trial.case()
                    if case.key in verdicts and not again:
                        yield Step(ground, number, len(trials), case, None)
                        continue
                    verdict = judge(browser, trial, Path(folder))
                    if verdict is None:
                        continue
                    self._atlas.add(ground, case, verdict)
                    self._write()
                    yield Step(ground, number, len(trials), case, verdict)
            finally:
                self._write(now=True)

    def _write(self, *, now: bool = False) -> None:
        if now or time.monotonic() - self._written > _EVERY:
            store.write(self._path, self._atlas)
            self._written = time.monotonic()

    def _ground(self, browser: Accelerator, folder: Path) -> Ground:
        """Start the browser and have it run one node, so that its lane tells its runtime.

        Returns:
            What runs the survey.
        """
        capabilities = browser.start()
        if not capabilities.can_run(self._backend):
            why = capabilities.errors[self._backend]
            raise BackendUnavailable(
                f"{self._options.browser} cannot run {self._backend}: {why}", backend=self._backend
            )
        result = _run(browser, _greeting(), folder)
        adapter = capabilities.adapter if self._backend == "webgpu" else None
        here = machine()
        import onnx
        import onnxruntime

        import webinfer

        return Ground(
            browser=result.browser,
            engine=capabilities.engine,
            engine_version=capabilities.engine_version,
            runtime=result.runtime,
            backend=self._backend,
            adapter=str(adapter) if adapter else "",
            machine=f"{platform.system()} {platform.machine()}, {here['cpu']}",
            reference=f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}",
            webinfer=webinfer.__version__,
            at=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        )


def _greeting() -> OperatorTrial:
    from onnx import helper

    from webinfer.accuracy.atlas.trials.trial import one_node

    return one_node("greeting", helper.make_node("Abs", ["x"], ["y"]), {"x": np.ones((1, 4), np.float32)})


def _run(browser: Accelerator, trial: OperatorTrial, folder: Path) -> Result:
    path = folder / _FILE
    path.write_bytes(trial.model.SerializeToString())
    model = browser.load(path)
    try:
        return model.run(dict(trial.inputs))
    finally:
        model.close()


def judge(browser: Accelerator, trial: OperatorTrial, folder: Path) -> OperatorVerdict | None:
    """Run a trial in a browser.

    Args:
        browser: Where it runs.
        trial: The trial.
        folder: Takes its file.

    Returns:
        What became of it; ``None`` where nothing says what is right.

    Raises:
        BrowserError: The browser is gone.
        HostError: The host's own port is gone.
        PoolClosed: The accelerator was closed.
    """
    native = native_answer(trial) if trial.expected is None else None
    if trial.expected is None and native is None:
        return None
    try:
        result = _run(browser, trial, folder)
    except (BrowserError, HostError, PoolClosed):
        raise
    except (LostError, DeadlineExceeded) as error:
        return OperatorVerdict("kills", _short(error, folder))
    except WebinferError as error:
        return OperatorVerdict("refused", _short(error, folder))
    except (TypeError, ValueError) as error:  # an input of a type that numpy lacks
        return OperatorVerdict("refused", _short(error, folder))
    wrong = find_fault(result.outputs, trial.expected if trial.expected is not None else native or {})
    if wrong and trial.expected is not None:
        native = native_answer(trial)  # some tests ask for what no runtime computes: then native onnxruntime decides
        wrong = find_fault(result.outputs, native) if native is not None else wrong
    if wrong:
        return OperatorVerdict("wrong", wrong)
    placement = result.placement
    if placement is not None and not placement.whole:
        return OperatorVerdict("fallback", str(placement))
    return OperatorVerdict("right")


def find_fault(outputs: Mapping[str, Any], right: Mapping[str, Any]) -> str | None:
    """Return what is wrong with outputs, in words; ``None`` where nothing is.

    Args:
        outputs: Arrays, or lists of them, by name.
        right: What is right.
    """
    arrays, answers = _flat(right), _flat(outputs)
    half = any(array.dtype.itemsize == 2 and array.dtype.kind not in "iu" for array in arrays.values())
    return fault(compare(answers, arrays), limits_for("fp16" if half else "fp32"))


def _flat(outputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return outputs as arrays; of a sequence, each of its tensors by its place."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in outputs.items():
        if isinstance(value, list):
            arrays |= _flat({f"{name}[{place}]": part for place, part in enumerate(value)})
        elif value is not None:
            arrays[name] = np.asarray(value)
    return arrays


def native_answer(trial: OperatorTrial) -> dict[str, Any] | None:
    """Return what native onnxruntime answers; ``None`` where it refuses the trial.

    Args:
        trial: The trial.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(
            trial.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(trial.inputs)), strict=True))
    except Exception:  # onnxruntime's exceptions have no public base
        return None


def _short(error: BaseException, folder: Path) -> str:
    """Return an error in a line, without where its file was."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    text = " ".join(" ".join(lines[:2]).split()) or type(error).__name__
    text = text.replace(str(folder / _FILE), "the model")
    return text if len(text) <= _NOTE else text[: _NOTE - 1] + "…"

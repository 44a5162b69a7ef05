"""The same model in native onnxruntime: what the browser's answers are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from webinfer.core.errors import LoadFailed, RunFailed
from webinfer.core.tensors import prepare
from webinfer.models.files.package import ModelPackage


class NativeSession:
    """A model in this process, on the CPU. May be run from several threads at once.

    Args:
        package: The model.
        threads: Threads per operator; ``None`` leaves the choice to onnxruntime, which takes every core.

    Raises:
        LoadFailed: onnxruntime refused the model.
    """

    def __init__(self, package: ModelPackage, threads: int | None = None) -> None:
        import onnxruntime  # late: it takes a while to import, and few callers need it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; warnings of graph optimizations are no news
        self.package = package
        self.version: str = onnxruntime.__version__
        try:
            self._session = onnxruntime.InferenceSession(
                str(package.model.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's exceptions have no public base
            raise LoadFailed(f"Native onnxruntime {self.version} refused {package.name}: {error}") from error

    def __repr__(self) -> str:
        return f"<NativeSession {self.package.name} onnxruntime {self.version}>"

    def run(self, inputs: Any, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Run one request; the inputs are prepared as a browser's are.

        Args:
            inputs: As ``tensors.prepare`` takes them.
            outputs: Names of the outputs wanted; ``None`` for all.

        Raises:
            InputError: The inputs do not fit.
            RunFailed: onnxruntime failed.
        """
        arrays = prepare(self.package.signature, inputs)
        names = list(outputs or (output.name for output in self.package.signature.outputs))
        try:
            answers = self._session.run(names, arrays)
        except Exception as error:
            raise RunFailed(f"Native onnxruntime {self.version} failed on {self.package.name}: {error}") from error
        return dict(zip(names, answers, strict=True))


def run_native(package: ModelPackage, inputs: Any, threads: int | None = None) -> dict[str, NDArray[Any]]:
    """Run a model once in native onnxruntime, and return its outputs by name."""
    return NativeSession(package, threads).run(inputs)

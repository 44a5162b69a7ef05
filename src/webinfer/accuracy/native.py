"""A model in native onnxruntime: what a browser's answers, rewritten graphs and quantized weights are compared with."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from onnx import ModelProto, helper

from webinfer.core.errors import LoadFailed, RunFailed
from webinfer.core.tensors import prepare
from webinfer.models.files.package import ModelPackage


class NativeSession:
    """A model in this process, on the CPU. Several threads may run it at once.

    Args:
        package: The model.
        threads: Threads per operator; ``None`` leaves the choice to onnxruntime, which takes every core.
        graph: A graph to run in place of the model's own. Its inputs are not prepared: they must fit as they are.
        files: The files that hold the weights of ``graph``, by the names that it has for them; ``None`` takes the
            model's: its ONNX file by its hash, and external files by their names.
        extra_outputs: Names of values inside of ``graph`` that are outputs besides its own.
        optimize: Whether onnxruntime may rewrite the graph and pack weights. Without that, the graph runs as it stands,
            and weights stay mapped from their files, so that memory holds activations alone.
        profile: Whether ``end_profile`` will be asked for.

    Attributes:
        package: The model.
        version: Version of onnxruntime.
        outputs: Names of the outputs that are tensors, in the graph's order.

    Raises:
        LoadFailed: onnxruntime refused the model.
    """

    def __init__(
        self,
        package: ModelPackage,
        threads: int | None = None,
        *,
        graph: ModelProto | None = None,
        files: Mapping[str, Path] | None = None,
        extra_outputs: Sequence[str] = (),
        optimize: bool = True,
        profile: bool = False,
    ) -> None:
        import onnxruntime  # late: it takes a while to import, and few callers need it

        self.package = package
        self._signature = package.signature if graph is None else None
        self.version: str = onnxruntime.__version__
        self._profile = tempfile.TemporaryDirectory(prefix="webinfer-") if profile else None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # only what ends the process: warnings are no news, and errors are raised
        if not optimize:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
            options.add_session_config_entry("session.disable_prepacking", "1")
        if self._profile is not None:
            options.enable_profiling = True
            options.profile_file_prefix = str(Path(self._profile.name) / "profile")
        source: str | bytes = str(package.model.path)
        if graph is not None:
            folder, source = _serialized(graph, _files(package) if files is None else files, extra_outputs)
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions have no public base
            raise LoadFailed(f"Native onnxruntime {self.version} refused {self.package.name}: {error}") from error
        # Sequences and maps are no arrays, which is what outputs are compared as.
        self.outputs: list[str] = [
            output.name for output in self._session.get_outputs() if output.type.startswith("tensor")
        ]

    def __repr__(self) -> str:
        return f"<NativeSession {self.package.name} onnxruntime {self.version}>"

    def run(self, inputs: Any, outputs: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
        """Run one request; the inputs are prepared as a browser's are, unless another graph runs.

        Args:
            inputs: As ``tensors.prepare`` takes them.
            outputs: Names of the outputs wanted; ``None`` for all.

        Returns:
            Arrays by output name.

        Raises:
            InputError: The inputs do not fit.
            RunFailed: onnxruntime failed.
        """
        arrays = prepare(self._signature, inputs, empty=True) if self._signature is not None else dict(inputs)
        names = list(outputs or self.outputs)
        try:
            answers = self._session.run(names, arrays)
        except Exception as error:
            raise RunFailed(f"Native onnxruntime {self.version} failed on {self.package.name}: {error}") from error
        return dict(zip(names, answers, strict=True))

    def end_profile(self) -> list[dict[str, Any]]:
        """Return the events of onnxruntime's own profiler since the session was made, and end it.

        Raises:
            ValueError: The session was made without ``profile``, or this was called before.
        """
        if self._profile is None:
            raise ValueError("This session keeps no profile: make it with profile=True, and end its profile once.")
        with self._profile:
            events: list[dict[str, Any]] = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        self._profile = None
        return events


def run_native(package: ModelPackage, inputs: Any, threads: int | None = None) -> dict[str, NDArray[Any]]:
    """Return the outputs, by name, of one run of a model in native onnxruntime.

    Args:
        package: The model.
        inputs: As ``tensors.prepare`` takes them.
        threads: Threads per operator; ``None`` leaves the choice to onnxruntime.

    Raises:
        LoadFailed: onnxruntime refused the model.
        InputError: The inputs do not fit.
        RunFailed: onnxruntime failed.
    """
    return NativeSession(package, threads).run(inputs)


def _files(package: ModelPackage) -> dict[str, Path]:
    return {package.model.sha256: package.model.path} | {file.name: file.path for file in package.external}


def _serialized(graph: ModelProto, files: Mapping[str, Path], outputs: Sequence[str]) -> tuple[Path, bytes]:
    """Return the folder that a graph's weights lie in, and the graph with their paths in that folder."""
    changed = ModelProto()
    changed.CopyFrom(graph)
    known = {value.name for value in changed.graph.output}
    changed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in outputs if name not in known)
    places = {name: path.resolve() for name, path in files.items()}  # onnxruntime refuses links that lead elsewhere
    # onnxruntime takes one folder for all files of weights, and refuses paths that lead out of it.
    folder = Path(os.path.commonpath([place.parent for place in places.values()]))
    for tensor in changed.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = str(places[entry.value].relative_to(folder))
    return folder, changed.SerializeToString()

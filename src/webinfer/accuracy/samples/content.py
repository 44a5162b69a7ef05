"""Real-shaped contents for a model's inputs: texts, pictures and sounds, prepared as its companions say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from webinfer.accuracy.samples.corpus import passage
from webinfer.accuracy.samples.signals import RATE, picture, speech
from webinfer.core.errors import WebinferError
from webinfer.core.tensors import DTYPES, SOUND
from webinfer.models.files.package import ModelPackage
from webinfer.models.files.positions import longest
from webinfer.models.graphs.outline import outline
from webinfer.models.preprocessing.reader import Reader

Arrays = dict[str, NDArray[Any]]

_TOKENS = 96  # in a text, at most: a model's weights see as many different inputs as there are tokens
_ROWS = 8  # of a table of tokens, where the graph shows none


class Content:
    """Makes what a model would really be given, as far as its signature and its companions tell.

    Args:
        package: The model.
        encode: Makes the inputs of a decoder that its encoder computes, from a seed; ``None`` for other models.

    Attributes:
        kinds: What was made so far, in words.
    """

    def __init__(self, package: ModelPackage, encode: Callable[[int], Arrays] | None = None) -> None:
        self.kinds: set[str] = set()
        self._package = package
        self._names = {spec.name for spec in package.signature.inputs}
        self._reader = Reader(package)
        self._encode = encode

    def make(self, seed: int) -> Arrays:
        """Return those inputs of one request that something is known about, by name.

        Args:
            seed: Chooses the text, the picture or the sound.
        """
        random = np.random.default_rng(seed)
        arrays: Arrays = {}
        if "input_ids" in self._names:
            arrays["input_ids"] = self._ids(seed, random)
        arrays |= self._prepared(random)
        if self._encode is not None:
            arrays |= {name: array for name, array in self._encode(seed).items() if name in self._names}
        return arrays

    def _ids(self, seed: int, random: np.random.Generator) -> NDArray[Any]:
        spec = next(spec for spec in self._package.signature.inputs if spec.name == "input_ids")
        fixed = spec.shape[1] if len(spec.shape) == 2 and isinstance(spec.shape[1], int) else None
        config = self._package.config
        stated = longest(config) or config.get("max_target_positions")  # the latter of decoders of speech
        length = fixed or min(_TOKENS, int(stated or _TOKENS))
        try:
            encoded = self._reader.tokenizer.encode(passage(seed))["input_ids"]
            self.kinds.add("texts")
        except WebinferError:
            known = self._reader.vocabulary.size or _table_rows(self._package)
            encoded = random.integers(0, known, (1, length), dtype=np.int64)
            self.kinds.add("random tokens")
        ids = np.asarray(encoded).astype(DTYPES[spec.dtype])[:, :length]
        if fixed and ids.shape[1] < fixed:
            ids = np.concatenate([ids] * (fixed // ids.shape[1] + 1), axis=1)[:, :fixed]
        return ids

    def _prepared(self, random: np.random.Generator) -> Arrays:
        """Return a picture or a sound as the model's own companions prepare it; nothing where they are missing."""
        try:
            if "pixel_values" in self._names:
                prepared = self._reader.prepare_files({"pixel_values": picture(random)})
                self.kinds.add("computed pictures")
            elif name := next((name for name in SOUND if name in self._names), None):
                prepared = self._reader.prepare_files({name: {"array": speech(random), "sampling_rate": RATE}})
                self.kinds.add("computed sounds")
            else:
                return {}
        except WebinferError:
            return {}
        return {name: value for name, value in prepared.items() if isinstance(value, np.ndarray)}


def _table_rows(package: ModelPackage) -> int:
    """Return the rows of the largest table that the graph looks something up in: no token id is beyond them."""
    graph = outline(package.model.path, package.model.sha256).graph
    tables = {node.input[0] for node in graph.node if node.op_type == "Gather"}
    floats = (TensorProto.FLOAT, TensorProto.FLOAT16)
    rows = [
        tensor.dims[0]
        for tensor in graph.initializer
        if tensor.name in tables and tensor.data_type in floats and len(tensor.dims) == 2
    ]
    return max(rows, default=_ROWS)

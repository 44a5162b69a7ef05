"""The search for the first node of a model that a browser computes differently from native onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from webinfer.accuracy.comparison import Limits, compare, fault
from webinfer.accuracy.locate.excerpt import Arrays, Excerpts, attributes
from webinfer.accuracy.locate.location import Difference, Location, worst
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import BackendError, LostError, NotANumber, RunFailed, UnsupportedOperator
from webinfer.core.tensors import DTYPES
from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline

Run = Callable[[Path, Arrays], Mapping[str, NDArray[Any]]]
"""Runs a model's file in the browser: returns its outputs by name, or raises what the browser said."""

_PROBES = 8  # nodes compared in one run: each value costs a transfer, and each run a session

FAILURES = (BackendError, LostError, UnsupportedOperator, NotANumber)
"""How a browser fails at a graph. Other errors are the caller's, or native onnxruntime's."""


class _BrowserFailed(Exception):
    """The browser gave no answer to a part of the model."""


class _Trial(NamedTuple):
    """What came of a part of the model in the browser.

    Attributes:
        nodes: The part.
        inputs: What it was given.
        fault: What is wrong, in words; ``None`` where nothing is.
        difference: The worst value; ``None`` where the browser fails, or nothing is wrong.
    """

    nodes: Sequence[NodeProto]
    inputs: Arrays
    fault: str | None
    difference: Difference | None


class Locator:
    """Finds the first wrong node: it halves the graph, and runs the nodes up to a point as a model of their own.

    One run compares the values at several points. Values behind a wrong one are taken to be wrong as well.

    Args:
        package: The model.
        inputs: A request that shows the fault, by input name.
        run: Runs a file in the browser.
        limits: How far values may be apart.
        folder: Where files are written.
    """

    def __init__(self, package: ModelPackage, inputs: Arrays, run: Run, limits: Limits, folder: Path) -> None:
        self._package = package
        self._inputs = inputs
        self._run = run
        self._limits = limits
        self._excerpts = Excerpts(package, folder)
        self._native: dict[str, NDArray[Any]] = {}  # values that native onnxruntime computed
        self._runs = 0

    def __repr__(self) -> str:
        return f"<Locator {self._package.name} runs={self._runs}>"

    def locate(self) -> Location | None:
        """Find the first wrong node.

        Returns:
            The place; ``None`` where every value of the graph is right.

        Raises:
            WebinferError: Native onnxruntime cannot run the model.
        """
        right, wrong = -1, len(self._excerpts.nodes) - 1  # values up to `right` are right; one up to `wrong` is not
        if not self._is_wrong(wrong):
            return None
        while points := self._points(right, wrong):
            right, wrong = self._narrow(right, wrong, points)
        return self._describe(wrong)

    def _narrow(self, right: int, wrong: int, points: Sequence[int]) -> tuple[int, int]:
        """Return a smaller range that holds the first wrong node."""
        try:
            first = self._first_wrong(points)
        except _BrowserFailed:
            # It fails at one of the points, and does not say at which. The middle one by itself tells in which half.
            middle = points[(len(points) - 1) // 2]
            if len(points) == 1 or self._is_wrong(middle):
                return right, middle
            return middle, points[-1]
        if first is None:
            return points[-1], wrong
        return points[first - 1] if first else right, points[first]

    def _points(self, right: int, wrong: int) -> list[int]:
        """Return nodes between two others, in about equal steps, behind which all values can be compared."""
        between = range(right + 1, wrong)
        return self._comparable(_spread(between)) or _spread(self._comparable(between))

    def _comparable(self, points: Sequence[int]) -> list[int]:
        passing = {point: self._excerpts.frontier(point) for point in points}
        self._compute(dict.fromkeys(name for names in passing.values() for name in names))
        return [point for point, names in passing.items() if self._numeric(names) == names]

    def _is_wrong(self, number: int) -> bool:
        """Return whether values are wrong that pass the point behind a node, or the browser fails at them."""
        try:
            return self._first_wrong([number]) is not None
        except _BrowserFailed:
            return True

    def _first_wrong(self, points: Sequence[int]) -> int | None:
        """Compare the values that pass the points behind some nodes, in one run.

        All of them count, and not the nodes' own alone: a fault in a branch beside a node would be missed.

        Returns:
            The index among ``points`` of the first node behind which a value is wrong; ``None`` for none.

        Raises:
            _BrowserFailed: The browser gave no values.
        """
        values = {point: self._numeric(self._excerpts.frontier(point)) for point in points}
        names = [name for point in points for name in values[point]]
        if not names:
            return None
        answers = self._answer(self._excerpts.behind(names), names, self._inputs)
        for index, point in enumerate(points):
            if fault(compare(answers, self._wanted(values[point])), self._limits):
                return index
        return None

    def _values(self, number: int) -> list[str]:
        """Return the outputs of a node that can be compared, once native onnxruntime has computed them."""
        return self._numeric([name for name in self._excerpts.nodes[number].output if name])

    def _numeric(self, names: Sequence[str]) -> list[str]:
        """Return the values that the browser can be sent and asked for, once native onnxruntime has computed them."""
        self._compute(names)
        return [name for name in names if _is_numeric(self._inputs.get(name, self._native.get(name)))]

    def _compute(self, names: Iterable[str]) -> None:
        """Have native onnxruntime compute values, unless they are known."""
        missing = [name for name in names if name not in self._native and name not in self._inputs]
        if missing:
            graph = outline(self._package.model.path, self._package.model.sha256)
            # Without optimization, because that renames values and joins nodes.
            session = NativeSession(self._package, graph=graph, extra_outputs=missing, optimize=False)
            try:
                self._native.update(session.run(self._inputs, missing))
            except RunFailed:  # perhaps of one value: numpy has no bfloat16, for one
                # This raises where the model itself is at fault.
                session.run(self._inputs, [output.name for output in self._package.signature.outputs])
                for name in missing:
                    with suppress(RunFailed):
                        self._native.update(session.run(self._inputs, [name]))

    def _wanted(self, names: Iterable[str]) -> dict[str, NDArray[Any]]:
        return {name: self._native[name] for name in names}

    def _answer(self, nodes: Sequence[NodeProto], names: Sequence[str], inputs: Arrays) -> Mapping[str, NDArray[Any]]:
        """Return what the browser computes for some nodes.

        Raises:
            _BrowserFailed: It fails at them.
        """
        self._runs += 1
        path = self._excerpts.write(f"part-{self._runs}", nodes, inputs, self._wanted(names))
        try:
            return self._run(path, {name: inputs[name] for name in self._excerpts.needs(nodes)})
        except FAILURES as error:
            raise _BrowserFailed(str(error)) from error
        finally:
            path.unlink()

    def _try(self, nodes: Sequence[NodeProto], names: Sequence[str], inputs: Arrays) -> _Trial:
        """Return what came of some nodes in the browser, compared with the native values of their outputs."""
        try:
            answers = self._answer(nodes, names, inputs)
        except _BrowserFailed as error:
            return _Trial(nodes, inputs, str(error), None)
        wanted = self._wanted(names)
        wrong = fault(compare(answers, wanted), self._limits)
        return _Trial(nodes, inputs, wrong, worst(answers, wanted, self._limits))

    def _smallest(self, number: int) -> _Trial:
        """Return the smallest part that shows a node's fault: most often the node alone.

        It may be wrong only together with nodes before it, because the browser joins them. So the part is doubled until
        it shows the fault. The last part begins with the first node, whether it shows the fault or not.
        """
        names, count = self._values(number), 1
        while True:
            start = max(0, number + 1 - count)
            nodes = self._excerpts.behind(names, start)
            needed = self._excerpts.needs(nodes)
            # A sequence, for one, cannot be sent to the browser, so the part must begin before it.
            if self._numeric(needed) == needed or start == 0:
                # Right inputs, by native onnxruntime, so that the fault is these nodes' own.
                inputs = {name: self._inputs[name] if name in self._inputs else self._native[name] for name in needed}
                trial = self._try(nodes, names, inputs)
                if trial.fault is not None or start == 0:
                    return trial
            count *= 2

    def _describe(self, number: int) -> Location:
        """Return the place of a wrong node, with the smallest part that shows the fault as a file."""
        node, names, trial = self._excerpts.nodes[number], self._values(number), self._smallest(number)
        outputs = self._wanted(names)
        stem = f"{self._package.name}-{node.op_type}".replace("/", "-")
        excerpt = self._excerpts.write(stem, trial.nodes, trial.inputs, outputs)
        self._excerpts.embed(excerpt)
        return Location(
            node=node.name or f"#{number}",
            operator=node.op_type,
            domain=node.domain,
            attributes=attributes(node),
            number=number,
            nodes=len(self._excerpts.nodes),
            fault=trial.fault or "it is wrong only together with the rest of the graph",
            limit=self._limits.error,
            difference=trial.difference,
            excerpt=excerpt,
            excerpt_nodes=len(trial.nodes),
            inputs=trial.inputs,
            outputs=outputs,
            runs=self._runs,
        )


def _is_numeric(value: object) -> bool:
    """Return whether a native value is a tensor of a dtype that lanes take: no sequence, and none of texts."""
    return isinstance(value, np.ndarray) and value.dtype in DTYPES.values()


def _spread(points: Sequence[int]) -> list[int]:
    """Return a few of many points, in about equal steps."""
    count = min(_PROBES, len(points))
    return [points[round((len(points) + 1) * (step + 1) / (count + 1)) - 1] for step in range(count)]

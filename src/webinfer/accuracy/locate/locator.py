"""The search for the first node of a model that a browser computes differently from native onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto

from webinfer.accuracy.comparison import Limits, compare, fault
from webinfer.accuracy.locate.excerpt import Arrays, Excerpts, attributes
from webinfer.accuracy.locate.location import Difference, Location, worst
from webinfer.accuracy.native import NativeSession
from webinfer.core.errors import BackendError, LostError, NotANumber, UnsupportedOperator
from webinfer.models.files.package import ModelPackage
from webinfer.models.graphs.outline import outline

Run = Callable[[Path, Arrays], Mapping[str, NDArray[Any]]]
"""Runs a model's file in the browser: returns its outputs by name, or raises what the browser said."""

_PROBES = 8  # nodes compared in one run: each value costs a transfer, and each run a session

_FAILURES = (BackendError, LostError, UnsupportedOperator, NotANumber)
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
        if not self._is_wrong(wrong) and self._outputs_agree():
            return None
        while wrong - right > 1:
            right, wrong = self._narrow(right, wrong)
        return self._describe(wrong)

    def _narrow(self, right: int, wrong: int) -> tuple[int, int]:
        """Return a smaller range that holds the first wrong node."""
        points = self._points(right, wrong)
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
        """Return nodes between two others, evenly spread."""
        count = min(_PROBES, wrong - right - 1)
        spread = {right + round((wrong - right) * number / (count + 1)) for number in range(1, count + 1)}
        return sorted(spread - {right, wrong})

    def _is_wrong(self, number: int) -> bool:
        """Return whether a node's values are wrong, or the browser fails at them."""
        try:
            return self._first_wrong([number]) is not None
        except _BrowserFailed:
            return True

    def _first_wrong(self, points: Sequence[int]) -> int | None:
        """Compare the values at some nodes, in one run.

        Returns:
            The index among ``points`` of the first node whose values are wrong; ``None`` for none.

        Raises:
            _BrowserFailed: The browser gave no values.
        """
        values = {point: self._values(point) for point in points}
        names = [name for point in points for name in values[point]]
        if not names:
            return None
        answers = self._answer(self._excerpts.behind(names), names, self._inputs)
        for index, point in enumerate(points):
            if fault(compare(answers, self._wanted(values[point])), self._limits):
                return index
        return None

    def _outputs_agree(self) -> bool:
        """Return whether the whole model's outputs are right: some may not depend on its last node."""
        names = [output.name for output in self._package.signature.outputs]
        self._compute(names)
        return self._try(self._excerpts.behind(names), names, self._inputs).fault is None

    def _values(self, number: int) -> list[str]:
        """Return the outputs of a node that can be compared, once native onnxruntime has computed them."""
        names = [name for name in self._excerpts.nodes[number].output if name]
        self._compute(names)
        return [name for name in names if _is_numeric(self._native[name])]

    def _compute(self, names: Iterable[str]) -> None:
        """Have native onnxruntime compute values, unless they are known."""
        missing = [name for name in names if name not in self._native and name not in self._inputs]
        if missing:
            graph = outline(self._package.model.path, self._package.model.sha256)
            # Without optimization, because that renames values and joins nodes.
            session = NativeSession(self._package, graph=graph, extra_outputs=missing, optimize=False)
            self._native.update(session.run(self._inputs, missing))

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
        except _FAILURES as error:
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
            self._compute(needed)
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
        return Location(
            node=node.name or f"#{number}",
            operator=node.op_type,
            domain=node.domain,
            attributes=attributes(node),
            number=number,
            nodes=len(self._excerpts.nodes),
            fault=trial.fault or "it is wrong only together with the rest of the graph",
            difference=trial.difference,
            excerpt=self._excerpts.write(stem, trial.nodes, trial.inputs, outputs),
            excerpt_nodes=len(trial.nodes),
            inputs=trial.inputs,
            outputs=outputs,
            runs=self._runs,
        )


def _is_numeric(value: object) -> bool:
    """Return whether a native value is a tensor of numbers: not a sequence, and not of texts."""
    return isinstance(value, np.ndarray) and value.dtype != object

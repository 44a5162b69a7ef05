"""Labels with scores from logits. A model's configuration gives the names and the normalization."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import NDArray

from webinfer.core.options import one_of, positive
from webinfer.models.files.package import ModelPackage
from webinfer.pipelines.base.scores import best, sigmoid, softmax

Function = Literal["softmax", "sigmoid", "none"]
FUNCTIONS: tuple[Function, ...] = ("softmax", "sigmoid", "none")


class Labeller:
    """Turns one item's logits into its best labels.

    Args:
        package: The model.
        output: Name of the output with the logits.
        top_k: Number of labels, best first; ``None`` for all.
        function: Turns logits into scores. ``None`` reads it from the configuration: ``sigmoid`` for one label or for
            several labels at once, else ``softmax``.

    Raises:
        OptionError: There is no such function, or ``top_k`` is below 1.
    """

    def __init__(self, package: ModelPackage, output: str, top_k: int | None, function: Function | None) -> None:
        if top_k is not None:
            positive("top_k", top_k)
        self._config = package.config
        self._top_k = top_k
        self._function = function or _implied(package, output)
        one_of("function_to_apply", self._function, FUNCTIONS)

    def __call__(self, logits: NDArray[Any]) -> list[dict[str, Any]]:
        """Return the best labels.

        Args:
            logits: float array of shape (labels,).

        Returns:
            ``{"label", "score"}`` for each label, best first.
        """
        scores = logits
        if self._function != "none":
            scores = softmax(logits) if self._function == "softmax" else sigmoid(logits)
        return [{"label": label_name(self._config, at), "score": float(scores[at])} for at in best(scores, self._top_k)]


def label_name(config: dict[str, Any], number: int) -> str:
    """Return the name of a label. A label without a name is ``LABEL_3``, as in Transformers.

    Args:
        config: The model's config.json.
        number: Number of the label.

    Returns:
        The name.
    """
    names = config.get("id2label") or {}
    return str(names.get(str(number), f"LABEL_{number}"))


def _implied(package: ModelPackage, output: str) -> Function:
    """Return the function that the configuration implies, as Transformers reads it."""
    config = package.config
    problem = config.get("problem_type")
    if problem == "regression":
        return "none"
    size = next(spec.shape[-1] for spec in package.signature.outputs if spec.name == output)
    single = len(config.get("id2label") or ()) == 1 or size == 1
    return "sigmoid" if problem == "multi_label_classification" or (single and problem is None) else "softmax"

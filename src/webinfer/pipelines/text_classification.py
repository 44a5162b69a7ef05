"""``text-classification``: which of its labels a model gives a text."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from numpy.typing import NDArray

from webinfer.options import one_of, positive
from webinfer.pipelines.scores import best, sigmoid, softmax
from webinfer.pipelines.texts import TextPipeline, texts_of

Function = Literal["softmax", "sigmoid", "none"]
FUNCTIONS: tuple[Function, ...] = ("softmax", "sigmoid", "none")


class TextClassification(TextPipeline):
    """Label texts."""

    task: ClassVar[str] = "text-classification"

    async def _answer(
        self,
        inputs: Any,
        /,
        *,
        top_k: int | None = 1,
        function_to_apply: Function | None = None,
        batch_size: int = 32,
    ) -> list[Any]:
        """Return each text's best labels.

        Args:
            inputs: A text, a pair as a tuple or ``{"text": …, "text_pair": …}``, or a list of these.
            top_k: How many labels, best first; ``None`` for all.
            function_to_apply: From logits to scores: ``softmax``, ``sigmoid`` or ``none``. ``None`` takes what the
                model's configuration implies: ``sigmoid`` for one label or several at once, else ``softmax``.
            batch_size: Texts run together at most.

        Returns:
            For a text a list of ``{"label", "score"}``; for a list of texts a list of these dicts where ``top_k`` is
            1, else a list of such lists.
        """
        if top_k is not None:
            positive("top_k", top_k)
        function = self._function() if function_to_apply is None else function_to_apply
        one_of("function_to_apply", function, FUNCTIONS)
        texts, several = texts_of(inputs, self.task)
        answers = [self._labelled(row.output, top_k, function) for row in await self._rows(texts, batch_size)]
        if not several:
            return answers[0]
        return [answer[0] for answer in answers] if top_k == 1 else answers

    def _labelled(self, logits: NDArray[Any], top_k: int | None, function: Function) -> list[dict[str, Any]]:
        scores = softmax(logits) if function == "softmax" else sigmoid(logits) if function == "sigmoid" else logits
        return [{"label": self._label(at), "score": float(scores[at])} for at in best(scores, top_k)]

    def _label(self, number: int) -> str:
        names = self.model.package.config.get("id2label") or {}
        return str(names.get(str(number), f"LABEL_{number}"))

    def _function(self) -> Function:
        """Return what the configuration implies, as Transformers reads it."""
        config = self.model.package.config
        stated = config.get("problem_type")
        if stated == "regression":
            return "none"
        alone = len(config.get("id2label") or ()) == 1 or self._size() == 1
        return "sigmoid" if stated == "multi_label_classification" or (alone and stated is None) else "softmax"

    def _size(self) -> int | str | None:
        return next(spec.shape[-1] for spec in self.model.package.signature.outputs if spec.name == self._output)

    def _find_output(self) -> str:
        return self._output_of_rank(2, "it gives no logits of shape (batch, labels)")

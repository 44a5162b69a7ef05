"""``text-classification``: the labels that a model gives a text."""

from __future__ import annotations

from typing import Any, ClassVar

from webinfer.pipelines.base.labels import Function, Labeller
from webinfer.pipelines.base.texts import TextPipeline, texts_of


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
            top_k: Number of labels, best first; ``None`` for all.
            function_to_apply: Turns logits into scores: ``softmax``, ``sigmoid`` or ``none``. ``None`` reads it from
                the model's configuration: ``sigmoid`` for one label or for several at once, else ``softmax``.
            batch_size: Most texts in one run.

        Returns:
            For a text, a list of ``{"label", "score"}``. For a list of texts, a list of these dicts if ``top_k`` is 1,
            else a list of such lists.
        """
        label = Labeller(self.model.package, self._output, top_k, function_to_apply)
        texts, several = texts_of(inputs, self.task)
        answers = [label(row.output) for row in await self._rows(texts, batch_size)]
        if not several:
            return answers[0]
        return [answer[0] for answer in answers] if top_k == 1 else answers

    def _find_output(self) -> str:
        return self._output_of_rank(2, "it gives no logits of shape (batch, labels)")

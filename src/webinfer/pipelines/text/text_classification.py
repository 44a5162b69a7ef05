"""``text-classification``: which of its labels a model gives a text."""

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
            top_k: How many labels, best first; ``None`` for all.
            function_to_apply: From logits to scores: ``softmax``, ``sigmoid`` or ``none``. ``None`` takes what the
                model's configuration implies: ``sigmoid`` for one label or several at once, else ``softmax``.
            batch_size: Texts run together at most.

        Returns:
            For a text a list of ``{"label", "score"}``; for a list of texts a list of these dicts where ``top_k`` is
            1, else a list of such lists.
        """
        labelled = Labeller(self.model.package, self._output, top_k, function_to_apply)
        texts, several = texts_of(inputs, self.task)
        answers = [labelled(row.output) for row in await self._rows(texts, batch_size)]
        if not several:
            return answers[0]
        return [answer[0] for answer in answers] if top_k == 1 else answers

    def _find_output(self) -> str:
        return self._output_of_rank(2, "it gives no logits of shape (batch, labels)")

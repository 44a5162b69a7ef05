"""``image-classification``: the labels that a model gives an image."""

from __future__ import annotations

from typing import Any, ClassVar

from webinfer.pipelines.base.images import ImagePipeline, images_of
from webinfer.pipelines.base.labels import Function, Labeller


class ImageClassification(ImagePipeline):
    """Label images."""

    task: ClassVar[str] = "image-classification"
    default: ClassVar[str | None] = "wheel:efficientnet-lite0"
    _output: str

    def _check_models(self) -> None:
        super()._check_models()
        self._output = self._output_of_rank(2, "it gives no logits of shape (batch, labels)")

    async def _answer(
        self,
        inputs: Any,
        /,
        *,
        top_k: int | None = 5,
        function_to_apply: Function | None = None,
        batch_size: int = 8,
    ) -> list[Any]:
        """Return each image's best labels.

        Args:
            inputs: An image, as a path, the bytes of a file, a PIL image or a uint8 array of shape (height, width, 3);
                or a list of these.
            top_k: Number of labels, best first; ``None`` for all.
            function_to_apply: Turns logits into scores: ``softmax``, ``sigmoid`` or ``none``. ``None`` reads it from
                the model's configuration: ``sigmoid`` for one label or for several at once, else ``softmax``.
            batch_size: Most images in one run.

        Returns:
            For an image, a list of ``{"label", "score"}``. For a list of images, a list of these lists.
        """
        label = Labeller(self.model.package, self._output, top_k, function_to_apply)
        images, several = images_of(inputs)
        features = await self._features(images, [self._output], batch_size)
        answers = [label(image.outputs[self._output]) for image in features]
        return answers if several else answers[0]

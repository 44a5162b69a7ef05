"""``zero-shot-image-classification``: the caller's own labels, scored for an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from webinfer.core.errors import EmptyBatch, InputError, OptionError
from webinfer.pipelines.base.images import ImagePipeline, images_of
from webinfer.pipelines.base.scores import best, softmax

_OUTPUT = "logits_per_image"
_TEXT = {"input_ids", "attention_mask"}


class ZeroShotImageClassification(ImagePipeline):
    """Label images with labels that the caller names, by a model like CLIP (Radford et al., arXiv:2103.00020)."""

    task: ClassVar[str] = "zero-shot-image-classification"
    provided: ClassVar[frozenset[str]] = ImagePipeline.provided | _TEXT

    def _check_models(self) -> None:
        super()._check_models()
        signature = self.model.package.signature
        if _OUTPUT not in {spec.name for spec in signature.outputs}:
            self._refuse(self.model, f"it does not give {_OUTPUT} (images, texts)")
        kind = str(self.model.package.config.get("model_type", "clip"))
        if kind.startswith("siglip"):
            self._refuse(self.model, "SigLIP models are not supported, because they pad texts to a fixed length")
        _ = self.model.tokenizer

    async def _answer(
        self,
        inputs: Any,
        /,
        *,
        candidate_labels: Sequence[str] = (),
        hypothesis_template: str = "This is a photo of {}.",
        batch_size: int = 8,
    ) -> list[Any]:
        """Return each image's scores for the labels.

        Args:
            inputs: An image, as a path, the bytes of a file, a PIL image or a uint8 array of shape (height, width, 3);
                or a list of these.
            candidate_labels: The labels to choose from, a list or a string with commas.
            hypothesis_template: The sentence that the model reads for each label; ``{}`` stands for the label.
            batch_size: Most images in one run.

        Returns:
            For an image, a list of ``{"score", "label"}``, best first. The scores sum to 1. For a list of images, a
            list of these lists.

        Raises:
            EmptyBatch: There are no labels.
            InputError: A label is not a text.
            OptionError: The template has no ``{}``.
        """
        labels = _labels(candidate_labels)
        if "{}" not in hypothesis_template:
            raise OptionError(
                f"hypothesis_template has no {{}} for the label: {hypothesis_template!r}.", option="hypothesis_template"
            )
        texts = self._encoded([hypothesis_template.replace("{}", label) for label in labels])
        images, several = images_of(inputs)
        answers = []
        for image in await self._features(images, [_OUTPUT], batch_size, texts):
            scores = softmax(image.outputs[_OUTPUT])
            answers.append([{"score": float(scores[at]), "label": labels[at]} for at in best(scores, None)])
        return answers if several else answers[0]

    def _encoded(self, texts: list[str]) -> dict[str, NDArray[np.int64]]:
        names = {spec.name for spec in self.model.package.signature.inputs} & _TEXT
        return {name: array for name, array in self.model.tokenizer.encode(texts).items() if name in names}


def _labels(names: Any) -> list[str]:
    labels = [label.strip() for label in names.split(",") if label.strip()] if isinstance(names, str) else list(names)
    if not labels:
        raise EmptyBatch("There are no candidate_labels: name the labels to choose from.")
    for label in labels:
        if not isinstance(label, str):
            raise InputError(f"candidate_labels are texts, not {type(label).__name__}: {str(label)[:40]!r}.")
    return labels

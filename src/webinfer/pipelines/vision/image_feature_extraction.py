"""``image-feature-extraction``: the hidden state of each patch, or one vector for each image."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from webinfer.core.errors import TaskMismatch
from webinfer.pipelines.base.images import ImagePipeline, images_of

_POOLED = ("pooler_output", "image_embeds")  # of encoders, and of CLIP's vision model


class ImageFeatureExtraction(ImagePipeline):
    """Turn images into vectors."""

    task: ClassVar[str] = "image-feature-extraction"
    _pooled: str | None
    _hidden: str | None

    def _check_models(self) -> None:
        super()._check_models()
        ranks = {spec.name: len(spec.shape) for spec in self.model.package.signature.outputs}
        self._pooled = next((name for name in _POOLED if ranks.get(name, 0) >= 2), None)
        wide = [name for name, rank in ranks.items() if rank >= 3]
        self._hidden = "last_hidden_state" if "last_hidden_state" in wide else next(iter(wide), None)
        if self._pooled is None and self._hidden is None:
            self._refuse(self.model, "it gives no hidden state of shape (batch, sequence, hidden size)")

    async def _answer(self, inputs: Any, /, *, pool: bool = False, batch_size: int = 8) -> Any:
        """Return the last hidden state, or the model's own pooled vector.

        Args:
            inputs: An image, as a path, the bytes of a file, a PIL image or a uint8 array of shape (height, width, 3);
                or a list of these.
            pool: Return the model's own pooled vector.
            batch_size: Most images in one run.

        Returns:
            With ``pool``, float32 of shape (images, hidden size). Without, float32 of shape (1, sequence, hidden size),
            and for a list of images a list of these.

        Raises:
            TaskMismatch: The model does not give it.
        """
        output = self._pooled if pool else self._hidden
        if output is None:
            lack = "pooled vector: leave pool out" if pool else "hidden state: pass pool=True"
            raise TaskMismatch(f"{self.model.name} gives no {lack}.", task=self.task, model=self.model.name)
        images, several = images_of(inputs)
        states = [image.outputs[output][None] for image in await self._features(images, [output], batch_size)]
        if pool:
            return np.concatenate(states)
        return states if several else states[0]

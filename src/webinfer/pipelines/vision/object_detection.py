"""``object-detection``: the objects in an image, and their boxes."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from webinfer.models.preprocessing.image_processor import Size
from webinfer.pipelines.base.images import ImageFeatures, ImagePipeline, images_of
from webinfer.pipelines.base.labels import label_name
from webinfer.pipelines.base.scores import best, sigmoid, softmax

_LOGITS, _BOXES = "logits", "pred_boxes"
# These models score each label independently, so that one query may give several objects. The number is how many pairs
# of query and label they keep; ``None`` keeps as many as there are queries. All others have a last label "no object".
_INDEPENDENT: dict[str, int | None] = {
    "conditional_detr": 100,
    "deformable_detr": 100,
    "rt_detr": None,
    "rt_detr_v2": None,
    "d_fine": None,
}


class ObjectDetection(ImagePipeline):
    """Find objects in images, with models that answer as DETR does (Carion et al., arXiv:2005.12872)."""

    task: ClassVar[str] = "object-detection"

    def _check_models(self) -> None:
        super()._check_models()
        ranks = {spec.name: len(spec.shape) for spec in self.model.package.signature.outputs}
        if ranks.get(_LOGITS) != 3 or ranks.get(_BOXES) != 3:
            self._refuse(
                self.model, f"it does not give {_LOGITS} (batch, queries, labels) and {_BOXES} (batch, queries, 4)"
            )

    async def _answer(self, inputs: Any, /, *, threshold: float = 0.5, batch_size: int = 4) -> list[Any]:
        """Return the objects in each image.

        Args:
            inputs: An image, as a path, the bytes of a file, a PIL image or a uint8 array of shape (height, width, 3);
                or a list of these.
            threshold: Only scores above this are returned.
            batch_size: Most images of one size in one run.

        Returns:
            For an image, a list of ``{"score", "label", "box"}``. The box is ``{"xmin", "ymin", "xmax", "ymax"}`` in
            pixels of the image. For a list of images, a list of these lists.
        """
        images, several = images_of(inputs)
        features = await self._features(images, [_LOGITS, _BOXES], batch_size)
        answers = [self._objects(image, threshold) for image in features]
        return answers if several else answers[0]

    def _objects(self, features: ImageFeatures, threshold: float) -> list[dict[str, Any]]:
        config = self.model.package.config
        kind = config.get("model_type")
        logits, corners = features.outputs[_LOGITS], to_corners(features.outputs[_BOXES], features.size)
        if kind in _INDEPENDENT:
            scores = sigmoid(logits)
            chosen = best(scores.ravel(), _INDEPENDENT[kind] or len(logits))
            objects = [(scores.flat[at], at % scores.shape[1], at // scores.shape[1]) for at in chosen]
        else:
            scores = softmax(logits)[:, :-1]
            labels = scores.argmax(axis=1)
            objects = [(scores[query, label], label, query) for query, label in enumerate(labels)]
        return [
            {"score": float(score), "label": label_name(config, int(label)), "box": _box(corners[query])}
            for score, label, query in objects
            if score > threshold
        ]


def to_corners(boxes: NDArray[Any], size: Size) -> NDArray[np.float32]:
    """Convert boxes from centres and sizes, relative to the image, to corners in pixels.

    Args:
        boxes: float array of shape (queries, 4): centre x, centre y, width, height, from 0 to 1.
        size: Height and width of the image, in pixels.

    Returns:
        float32 array of shape (queries, 4): left, top, right, bottom.
    """
    centre, half = boxes[:, :2], boxes[:, 2:] / 2
    height, width = size
    return np.asarray(
        np.concatenate([centre - half, centre + half], axis=1) * np.array([width, height] * 2, np.float32), np.float32
    )


def _box(corners: NDArray[np.float32]) -> dict[str, int]:
    """Return a box in whole pixels, rounded towards zero as Transformers does."""
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), map(int, corners), strict=True))

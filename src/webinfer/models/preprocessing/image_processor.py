"""Pictures to pixel values, as a model's ``preprocessor_config.json`` says.

The steps, their order, their defaults and their rounding are those of transformers' image processors over pillow
(``image_processing_*.py``); its processors over torchvision resample a little differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from webinfer.core.errors import InvalidImage, InvalidModel, ProcessorMissing, ShapeMismatch
from webinfer.core.tensors import DTYPES, Signature
from webinfer.models.files.package import ModelPackage
from webinfer.models.preprocessing.images import ImageInput, Picture, open_image

FILE = "preprocessor_config.json"
Size = tuple[int, int]
"""Height and width, in pixels."""

_NEAREST, _BILINEAR, _BICUBIC = 0, 2, 3  # of PIL.Image.Resampling, as the files number them
_HALF = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_OPENAI = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
_CROPPED = {"do_center_crop": True, "crop_size": 224}
_SHORTEST = {"size": 224, "square": False, "resample": _BICUBIC, **_CROPPED}
_COCO = {"size": {"shortest_edge": 800, "longest_edge": 1333}, "square": False, "resample": _BILINEAR, **_IMAGENET}
_MOBILENET = {"size": 256, "square": False, "resample": _BILINEAR, **_CROPPED, **_HALF}

# Settings that a file may leave out.
_COMMON = {
    "size": 224,
    "square": True,  # what a single number as size means: a square, or the shortest edge
    "do_resize": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
}
# The same by processor, whose name is without its ending.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "beit": {"size": 256, "resample": _BICUBIC, **_CROPPED, **_HALF},
    "bit": {**_SHORTEST, **_OPENAI},
    "blip": {"size": 384, "resample": _BICUBIC, **_OPENAI},
    "clip": {**_SHORTEST, **_OPENAI},
    "conditionaldetr": _COCO,
    "convnext": {"size": 384, "square": False, "resample": _BILINEAR, "crop_pct": 224 / 256, **_HALF},
    "deformabledetr": _COCO,
    "deit": {"size": 256, "resample": _BICUBIC, **_CROPPED, **_HALF},
    "detr": _COCO,
    "efficientnet": {"size": 346, "resample": _NEAREST, "crop_size": 289, "include_top": True, **_HALF},
    "levit": {**_SHORTEST, **_IMAGENET},
    "mobilenetv1": _MOBILENET,
    "mobilenetv2": _MOBILENET,
    "mobilevit": {
        **_SHORTEST,
        "crop_size": 256,
        "resample": _BILINEAR,
        "do_flip_channel_order": True,
        "do_normalize": False,
    },
    "rtdetr": {"size": 640, "resample": _BILINEAR, "do_normalize": False, **_IMAGENET},
    "segformer": {"size": 512, "resample": _BILINEAR, **_IMAGENET},
    "siglip": {"resample": _BICUBIC, **_HALF},
    "vit": {"resample": _BILINEAR, **_HALF},
    "yolos": _COCO,
}
# The processor of model types that have another's, for files that do not name it.
_OF_MODELS = {"dinov2": "bit", "focalnet": "bit", "regnet": "convnext", "resnet": "convnext", "convnextv2": "convnext"}
_DETECTORS = ("conditionaldetr", "deformabledetr", "detr", "rtdetr", "yolos")
_YOLOS_MULTIPLE = 16  # its sizes are multiples of this


class ImageProcessor:
    """From a picture to pixel values.

    Args:
        settings: Contents of ``preprocessor_config.json``.
        model_type: The model's, which says what processor it has where the file does not.
        name: The model's name, for errors.

    Raises:
        InvalidModel: The processor is of a kind that is not known here, or its settings contradict each other.
    """

    def __init__(self, settings: Mapping[str, Any], model_type: str = "vit", name: str = "The model") -> None:
        self.kind = _kind(settings, model_type, name)
        given = {key: value for key, value in settings.items() if value is not None}
        self._settings: dict[str, Any] = {**_COMMON, **_DEFAULTS[self.kind], **given}
        self._name = name
        self._check()

    def __repr__(self) -> str:
        return f"<ImageProcessor {self.kind} size={self._settings['size']}>"

    @classmethod
    def of(cls, package: ModelPackage) -> ImageProcessor:
        """Return a model's image processor.

        Args:
            package: The model.

        Returns:
            The processor that its preprocessor_config.json describes.

        Raises:
            ProcessorMissing: The model came without one.
            InvalidModel: Its file cannot be read or followed.
        """
        settings = package.settings(FILE)
        if not settings:
            raise ProcessorMissing(
                f"{package.name} has no {FILE}: pass pixel_values, or put the file beside the model.",
                model=package.name,
            )
        return cls(settings, str(package.config.get("model_type", "vit")), package.name)

    def __call__(self, image: ImageInput) -> NDArray[np.float32]:
        """Prepare a picture.

        Args:
            image: As ``open_image`` takes it.

        Returns:
            float32 of shape (3, height, width).

        Raises:
            InvalidImage: It cannot be read, or is too long and narrow to be resized.
        """
        settings = self._settings
        picture = open_image(image)
        if settings["do_resize"]:
            picture = self._resized(picture)
        pixels: NDArray[Any] = np.asarray(picture)
        crop = self._cropped()
        if crop is not None:
            pixels = center_crop(pixels, crop)
        if settings["do_rescale"]:
            # transformers multiplies in float64 and rounds the product to float32.
            pixels = (pixels.astype(np.float64) * settings["rescale_factor"]).astype(np.float32)
            pixels = pixels - 1 if settings.get("rescale_offset") else pixels
        pixels = pixels.astype(np.float32, copy=False)
        if settings["do_normalize"]:
            mean, deviation = (np.array(settings[key], np.float32) for key in ("image_mean", "image_std"))
            pixels = (pixels - mean) / deviation
            # EfficientNet's processor divides a second time where the model has its classifier.
            pixels = pixels / deviation if settings.get("include_top") else pixels
        if settings.get("do_flip_channel_order"):
            pixels = pixels[:, :, ::-1]
        return np.ascontiguousarray(pixels.transpose(2, 0, 1))

    @property
    def size(self) -> Size | None:
        """The size that every image is brought to; ``None`` where it depends on the image."""
        crop = self._cropped()
        if crop is not None:
            return crop
        tall, wide = (self._target(size) for size in ((3, 2), (2, 3)))
        return tall if tall == wide and self._settings["do_resize"] else None

    def _resized(self, picture: Picture) -> Picture:
        height, width = self._target((picture.height, picture.width))
        limit = Image.MAX_IMAGE_PIXELS
        if min(height, width) < 1 or (limit is not None and height * width > limit):
            raise InvalidImage(
                f"An image of {picture.width} x {picture.height} would become {width} x {height} for {self._name}: "
                "crop it to a shape that is less long and narrow.",
                shape=[picture.height, picture.width],
            )
        return picture.resize((width, height), Image.Resampling(self._settings["resample"]))

    def _cropped(self) -> Size | None:
        """Return the size that is cut out of the middle."""
        settings = self._settings
        if self.kind == "convnext" and settings["do_resize"]:  # it resizes to more than its size, then cuts
            side = _named(settings["size"], square=False)["shortest_edge"]
            return (side, side)
        return _pair(settings["crop_size"]) if settings.get("do_center_crop") else None

    def _target(self, size: Size) -> Size:
        """Return the size that a picture is resized to."""
        settings = self._settings
        wanted = _named(settings["size"], square=settings["square"])
        if "max_size" in settings and "shortest_edge" in wanted:
            wanted = {**wanted, "longest_edge": settings["max_size"]}
        if "height" in wanted:
            return wanted["height"], wanted["width"]
        if "max_height" in wanted:
            scale = min(wanted["max_height"] / size[0], wanted["max_width"] / size[1])
            return int(size[0] * scale), int(size[1] * scale)
        shortest = wanted["shortest_edge"]
        if self.kind in _DETECTORS:
            target = bounded_size(size, shortest, wanted.get("longest_edge"))
            multiple = _YOLOS_MULTIPLE if self.kind == "yolos" else 1
            return target[0] // multiple * multiple, target[1] // multiple * multiple
        if self.kind == "convnext":
            if shortest >= 384:
                return shortest, shortest
            shortest = int(shortest / settings["crop_pct"])
        if self.kind == "levit":
            shortest = int(256 / 224 * shortest)
        return shortest_edge_size(size, shortest)

    def _check(self) -> None:
        settings = self._settings
        try:
            _ = self._target((3, 2)), self._cropped(), Image.Resampling(settings["resample"])
            _ = [np.array(settings[key], np.float32) for key in ("image_mean", "image_std") if settings["do_normalize"]]
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidModel(
                f"{self._name} has a {FILE} that cannot be followed ({type(error).__name__}: {error}). It has size "
                f"{settings['size']}, crop_size {settings.get('crop_size')} and resample {settings['resample']}.",
            ) from error
        if settings.get("pad_size"):
            raise InvalidModel(
                f"{self._name} pads its images to a pad_size, which is not known here: pass pixel_values."
            )


def image_tensors(signature: Signature, pixels: Sequence[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    """Return a model's inputs for prepared images of one shape.

    Args:
        signature: The model's; where it has a ``pixel_mask``, that keeps every pixel.
        pixels: Each of shape (channels, height, width).

    Returns:
        ``pixel_values``, float32 of shape (images, channels, height, width), and perhaps ``pixel_mask``.

    Raises:
        ShapeMismatch: They are of several shapes.
    """
    shapes = {image.shape for image in pixels}
    if len(shapes) > 1:
        raise ShapeMismatch(
            f"The images come out in {len(shapes)} sizes ({', '.join(map(str, sorted(shapes)))}): run them one by one.",
            input="pixel_values",
        )
    values = np.stack(pixels)
    tensors: dict[str, NDArray[Any]] = {"pixel_values": values}
    for spec in signature.inputs:
        if spec.name == "pixel_mask":  # exported models may have a fixed size for it that is not that of the pixels
            size = [
                side if isinstance(side, int) else values.shape[axis]
                for axis, side in ((2, spec.shape[1]), (3, spec.shape[2]))
            ]
            tensors[spec.name] = np.ones((len(values), *size), DTYPES[spec.dtype])
    return tensors


def shortest_edge_size(size: Size, shortest: int) -> Size:
    """Return the size whose shortest edge is this, as transformers' ``get_resize_output_image_size`` rounds it.

    Args:
        size: Height and width in pixels.
        shortest: The shortest edge afterwards, in pixels.

    Returns:
        Height and width in pixels.
    """
    height, width = size
    longest = int(shortest * max(size) / min(size))
    return (longest, shortest) if width <= height else (shortest, longest)


def bounded_size(size: Size, shortest: int, longest: int | None) -> Size:
    """Return the size with a shortest edge, or with a shorter one where the longest edge would pass its limit.

    As transformers' ``get_size_with_aspect_ratio`` rounds it.

    Args:
        size: Height and width in pixels.
        shortest: The shortest edge afterwards, in pixels.
        longest: The longest edge that is allowed, in pixels; ``None`` for any.

    Returns:
        Height and width in pixels.
    """
    height, width = size
    exact: float = shortest
    if longest is not None and max(size) / min(size) * shortest > longest:
        exact = longest * min(size) / max(size)
        shortest = round(exact)
    if min(size) == shortest:
        return size
    return (int(exact * height / width), shortest) if width < height else (shortest, int(exact * width / height))


def center_crop(pixels: NDArray[Any], size: Size) -> NDArray[Any]:
    """Cut the middle out of an image, with zeros around it where it is smaller.

    Args:
        pixels: Shape (height, width, channels).
        size: Of the result.

    Returns:
        The middle, of that size.
    """
    for axis, wanted in enumerate(size):
        extent = pixels.shape[axis]
        if extent >= wanted:
            start = (extent - wanted) // 2
            pixels = pixels[start : start + wanted] if axis == 0 else pixels[:, start : start + wanted]
        else:
            before = -(-(wanted - extent) // 2)  # an odd row or column goes before the image, as in transformers
            widths = [(0, 0)] * pixels.ndim
            widths[axis] = (before, wanted - extent - before)
            pixels = np.pad(pixels, widths)
    return pixels


def _named(size: Any, *, square: bool) -> dict[str, int]:
    """Return a size by the names of its parts; files have numbers, pairs and dictionaries."""
    if isinstance(size, Mapping):
        return {str(key): int(value) for key, value in size.items() if value is not None}
    if isinstance(size, list | tuple):
        height, width = size
        return {"height": int(height), "width": int(width)}
    return {"height": int(size), "width": int(size)} if square else {"shortest_edge": int(size)}


def _pair(size: Any) -> Size:
    named = _named(size, square=True)
    side = named.get("shortest_edge")
    return (side, side) if side is not None else (named["height"], named["width"])


def _kind(settings: Mapping[str, Any], model_type: str, name: str) -> str:
    stated = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    if stated is None:
        plain = model_type.replace("_", "").replace("-", "")
        return plain if plain in _DEFAULTS else _OF_MODELS.get(plain, "vit")
    kind = str(stated).removesuffix("Fast").removesuffix("ImageProcessor").removesuffix("FeatureExtractor").lower()
    if kind not in _DEFAULTS:
        raise InvalidModel(
            f"{name} prepares images with {stated}, which is not known here: pass pixel_values. "
            f"Known: {', '.join(_DEFAULTS)}.",
            processor=str(stated),
        )
    return kind

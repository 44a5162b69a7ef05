"""The list of tasks. A new task is a class and a line here."""

from __future__ import annotations

from webinfer.core.errors import OptionError
from webinfer.core.errors.suggestions import suggestion
from webinfer.pipelines.audio.speech_recognition import SpeechRecognition
from webinfer.pipelines.base.pipeline import AsyncPipeline
from webinfer.pipelines.text.feature_extraction import FeatureExtraction
from webinfer.pipelines.text.fill_mask import FillMask
from webinfer.pipelines.text.sentence_similarity import SentenceSimilarity
from webinfer.pipelines.text.text_classification import TextClassification
from webinfer.pipelines.text.text_generation import TextGeneration
from webinfer.pipelines.vision.image_classification import ImageClassification
from webinfer.pipelines.vision.image_feature_extraction import ImageFeatureExtraction
from webinfer.pipelines.vision.object_detection import ObjectDetection
from webinfer.pipelines.vision.zero_shot_image_classification import ZeroShotImageClassification

TASKS: dict[str, type[AsyncPipeline]] = {
    "automatic-speech-recognition": SpeechRecognition,
    "feature-extraction": FeatureExtraction,
    "fill-mask": FillMask,
    "image-classification": ImageClassification,
    "image-feature-extraction": ImageFeatureExtraction,
    "object-detection": ObjectDetection,
    "sentence-similarity": SentenceSimilarity,
    "text-classification": TextClassification,
    "text-generation": TextGeneration,
    "zero-shot-image-classification": ZeroShotImageClassification,
}
ALIASES = {  # other names in use
    "asr": "automatic-speech-recognition",
    "embeddings": "feature-extraction",
    "sentiment-analysis": "text-classification",
}


def pipeline_class(task: str) -> type[AsyncPipeline]:
    """Return the class of a task.

    Args:
        task: Name of the task, as Transformers has it.

    Returns:
        The pipeline's class.

    Raises:
        OptionError: There is no such task; the error names the nearest.
    """
    pipeline = TASKS.get(ALIASES.get(task, task))
    if pipeline is None:
        hint = suggestion(task, [*TASKS, *ALIASES], f"There are: {', '.join(TASKS)}.")
        raise OptionError(f"Unknown task {task!r}. {hint}", option="task", known=list(TASKS))
    return pipeline

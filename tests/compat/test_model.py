"""The guide's models and results, on a real browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.compat.models import BERT, SLOW, TOKENS, VIT, image
from webinfer.accuracy.native import NativeSession
from webinfer.compat import EnhancedWebModel, IPFSAccelerateWebIntegration, IPFSWebAccelerator
from webinfer.compat.model import run_parallel
from webinfer.core.errors import EmptyBatch, MissingInput, OptionError, UnknownInput
from webinfer.models.sources.resolve import resolve
from webinfer.pool.requests.request import is_recorded, unrecorded

pytestmark = pytest.mark.browser("embedded")

RESULT_KEYS = {
    "success", "status", "model_id", "platform", "backend", "browser", "is_real_implementation", "is_simulation",
    "output", "performance_metrics", "inference_time", "total_time", "model_family", "compute_shader_optimized",
    "precompile_shaders", "parallel_loading",
}  # fmt: skip
MODEL_KEYS = {
    "model_load_time", "inference_time", "memory_usage", "throughput", "latency", "batch_size", "platform_distribution",
}  # fmt: skip
METRICS_KEYS = {
    "models": MODEL_KEYS,
    "aggregate": {
        "avg_load_time", "avg_inference_time", "avg_throughput", "avg_latency", "total_models", "total_inferences",
        "platform_distribution", "browser_distribution", "total_memory_usage",
    },
    "bridge": {
        "executed_tasks", "total_execution_time", "errors", "concurrent_peak", "queue_peak", "current_queue_size",
        "bridge_stats", "resource_metrics",
    },
    "resource_pool": {
        "hits", "misses", "total_requests", "hit_ratio", "memory_usage_mb", "cached_models", "timestamp",
        "system_memory",
    },
}  # fmt: skip
BRIDGE_STATS_KEYS = {
    "created_connections", "total_inferences", "total_model_loads", "errors", "peak_connections", "current_connections",
    "loaded_models", "model_count",
}  # fmt: skip


def tokens(*ids: int) -> dict[str, list[int]]:
    return {"input_ids": list(ids), "attention_mask": [1] * len(ids)}


@pytest.fixture
def bert(integration: IPFSAccelerateWebIntegration) -> EnhancedWebModel:
    return integration.get_model(BERT, platform="cpu")


@pytest.fixture
def vit(integration: IPFSAccelerateWebIntegration) -> EnhancedWebModel:
    return integration.get_model(VIT, platform="cpu")


def test_result_as_a_dict_has_the_guides_keys(accelerator: IPFSWebAccelerator) -> None:
    result = accelerator.run_inference(BERT, TOKENS, platform="webnn").to_dict()
    assert result.keys() >= RESULT_KEYS
    assert result["performance_metrics"].keys() == {
        "inference_time_ms", "throughput_items_per_sec", "memory_usage_mb",
    }  # fmt: skip
    assert (result["success"], result["is_real_implementation"], result["is_simulation"]) == (True, True, False)
    assert (result["platform"], result["backend"], result["browser"]) == ("webnn", "webnn", "embedded")
    assert result["performance_metrics"]["inference_time_ms"] == pytest.approx(1e3 * result["inference_time"])
    assert 0 < result["inference_time"] <= result["total_time"]


def test_answer_equals_the_native_one(bert: EnhancedWebModel, named_models: Path) -> None:
    expected = NativeSession(resolve(BERT)).run({name: [row] for name, row in TOKENS.items()})
    result = bert.run(TOKENS)
    np.testing.assert_allclose(result.outputs["last_hidden_state"], expected["last_hidden_state"], rtol=1e-3, atol=1e-4)


def test_metrics_have_the_guides_keys(integration: IPFSAccelerateWebIntegration, bert: EnhancedWebModel) -> None:
    bert.run(TOKENS)
    metrics = integration.get_metrics()
    missing = {section: keys - metrics[section].keys() for section, keys in METRICS_KEYS.items()}
    assert not any(missing.values()), missing
    assert metrics["models"].keys() == MODEL_KEYS
    assert metrics["bridge"]["bridge_stats"].keys() == BRIDGE_STATS_KEYS
    assert metrics["bridge"]["resource_metrics"].keys() == {"connection_util", "browser_usage", "platform_usage"}
    for figure in ("model_load_time", "inference_time", "memory_usage", "throughput", "latency", "batch_size"):
        assert metrics["models"][figure][BERT] == metrics["by_model"][BERT][figure] > 0
    assert resolve(BERT).cid in {each["model_cid"] for each in metrics["by_model"][BERT]["variants"].values()}
    assert metrics["models"]["platform_distribution"] == metrics["aggregate"]["platform_distribution"]


def test_model_tells_its_own_figures(bert: EnhancedWebModel, integration: IPFSAccelerateWebIntegration) -> None:
    before = bert.get_performance_metrics()["inferences"]
    bert.run_batch([TOKENS, TOKENS])
    figures = bert.get_performance_metrics()
    assert figures["inferences"] == before + 2
    assert figures["inference_time"] > 0
    assert (figures["model_name"], figures["model_type"], figures["backend"]) == (BERT, "text_embedding", "wasm")


def test_loaded_model_is_not_loaded_again(integration: IPFSAccelerateWebIntegration, bert: EnhancedWebModel) -> None:
    loads = integration.get_metrics()["bridge"]["bridge_stats"]["total_model_loads"]
    hits = integration.get_metrics()["resource_pool"]["hits"]
    assert integration.get_model(BERT, platform="wasm") is bert
    assert integration.get_metrics()["bridge"]["bridge_stats"]["total_model_loads"] == loads
    assert integration.get_metrics()["resource_pool"]["hits"] == hits + 1
    assert bert.run(TOKENS).backend == "wasm"


def test_call_takes_one_request_or_a_list_of_them(bert: EnhancedWebModel) -> None:
    assert not isinstance(bert(TOKENS), list)
    answers = bert([tokens(101, 102), tokens(101, 2023, 102)])
    assert isinstance(answers, list)
    assert [answer.outputs["last_hidden_state"].shape[1] for answer in answers] == [2, 3]


def test_concurrent_models_run_their_own_inputs(bert: EnhancedWebModel, vit: EnhancedWebModel) -> None:
    picture = image()
    results = bert.run_concurrent([tokens(101, 102), tokens(101, 2023, 102)], [(vit, {"pixel_values": picture})])
    assert [result.model for result in results] == [BERT, BERT, VIT]
    np.testing.assert_array_equal(
        results[1]["last_hidden_state"], bert.run(tokens(101, 2023, 102))["last_hidden_state"]
    )
    np.testing.assert_array_equal(results[2]["logits"], vit.run({"pixel_values": picture})["logits"])


def test_concurrent_model_alone_takes_its_inputs_from_the_item_at_its_index(
    bert: EnhancedWebModel, vit: EnhancedWebModel
) -> None:
    item = tokens(101, 102) | {"pixel_values": image()}
    results = bert.run_concurrent([item], [vit])
    assert [sorted(result.outputs) for result in results] == [["last_hidden_state"], ["logits"]]


def test_same_model_alone_runs_the_same_item(bert: EnhancedWebModel) -> None:
    first, second = bert.run_concurrent([TOKENS], [bert])
    np.testing.assert_array_equal(first["last_hidden_state"], second["last_hidden_state"])


def test_concurrent_model_whose_inputs_are_missing_is_named_with_the_remedy(
    bert: EnhancedWebModel, vit: EnhancedWebModel
) -> None:
    with pytest.raises(MissingInput, match=rf"(?s)Item 0 does not fit {VIT}.*pass the pair \(model, inputs\)"):
        bert.run_concurrent([TOKENS, TOKENS], [vit])
    with pytest.raises(MissingInput, match=re.escape(f"There is no item 1 for {VIT}")):
        bert.run_concurrent([TOKENS], [(vit, {"pixel_values": image()}), vit])


def test_concurrent_item_with_a_name_that_nobody_knows_is_refused(
    bert: EnhancedWebModel, vit: EnhancedWebModel
) -> None:
    with pytest.raises(UnknownInput, match="pixels"):
        bert.run_concurrent([TOKENS | {"pixel_values": image(), "pixels": [1]}], [vit])


def test_other_models_of_another_kind_are_refused(bert: EnhancedWebModel) -> None:
    with pytest.raises(OptionError, match="other_models holds models"):
        bert.run_concurrent([TOKENS], [VIT])  # type: ignore[list-item]


def test_running_nothing_is_an_empty_batch(bert: EnhancedWebModel) -> None:
    with pytest.raises(EmptyBatch):
        bert.run_concurrent([])
    with pytest.raises(EmptyBatch):
        bert.run_batch([])


def test_parallel_inference_returns_results_in_the_order_of_the_requests(
    integration: IPFSAccelerateWebIntegration, bert: EnhancedWebModel, vit: EnhancedWebModel
) -> None:
    picture = {"pixel_values": image()}
    results = integration.run_parallel_inference([(vit, picture), (bert, TOKENS), (vit, picture)])
    assert [result.model for result in results] == [VIT, BERT, VIT]
    assert integration.run_parallel_inference([]) == []


@pytest.mark.parametrize("how", ["set_max_batch_size", "get_model", "run_batch_inference"])
def test_batch_size_bounds_what_is_under_way(embedded: None, named_models: Path, how: str) -> None:
    with IPFSAccelerateWebIntegration(max_connections=1) as integration:
        model = integration.get_model(SLOW, platform="cpu", batch_size=3 if how == "get_model" else 1)
        batch: list[Any] = [{"turns": [1], "features": [float(at)]} for at in range(12)]
        if how == "set_max_batch_size":
            model.set_max_batch_size(3)
        size = 3 if how == "run_batch_inference" else None
        results = IPFSWebAccelerator(integration).run_batch_inference(SLOW, batch, platform="cpu", batch_size=size)
        assert np.diff([result["y"] for result in results]) == pytest.approx(1)
        assert integration.get_metrics()["bridge"]["queue_peak"] <= 3
        model.run_batch(batch, batch_size=12)
        assert integration.get_metrics()["bridge"]["queue_peak"] > 3


def test_maximum_batch_size_has_requests_run_together(bert: EnhancedWebModel) -> None:
    alone = bert.run_batch([TOKENS] * 12)
    bert.set_max_batch_size(4)
    together = bert.run_batch([TOKENS] * 12)
    bert.set_max_batch_size(1)
    assert {result.batch for result in alone} == {1}
    assert max(result.batch for result in together) > 1
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one["last_hidden_state"], other["last_hidden_state"], rtol=1e-3, atol=1e-4)


def test_batch_size_below_one_is_refused(bert: EnhancedWebModel) -> None:
    with pytest.raises(OptionError, match="batch size must be 1 or more"):
        bert.set_max_batch_size(0)


@pytest.mark.parametrize(
    ("keyword", "platform", "backend"), [("enable_gpu", "webgpu", "webnn"), ("enable_cpu", "cpu", "webnn")]
)
def test_what_is_switched_off_is_not_used_and_the_result_says_so(
    embedded: None, named_models: Path, keyword: str, platform: str, backend: str
) -> None:
    with IPFSAccelerateWebIntegration(**{keyword: False}) as integration:  # type: ignore[arg-type]
        result = integration.get_model(BERT, platform=platform).run(TOKENS)
    assert (result.backend, result.reason) == (backend, f"{keyword} is off")
    assert result.to_dict()["platform"] == {"cpu": "wasm"}.get(platform, platform)


def test_plain_run_uses_the_model_that_was_quantized(accelerator: IPFSWebAccelerator, bert: EnhancedWebModel) -> None:
    accelerator.accelerate_model(BERT, platform="cpu", quantization={"bits": 4, "mixed_precision": False})
    result = accelerator.run_inference(BERT, TOKENS)
    assert (result.precision, result.backend) == ("q4", "wasm")
    told = result.to_dict()
    assert 0.5 < told["loss"]["cosine"] < 1
    full = accelerator.run_inference(BERT, TOKENS, platform="cpu", quantization={"bits": 16})
    assert (full.model, full.precision, full.to_dict()["loss"]) == (BERT, "fp32", None)
    assert accelerator.run_inference(BERT, TOKENS, quantization={"bits": 4}).precision == "q4"


def test_two_precisions_of_a_model_have_figures_of_their_own(accelerator: IPFSWebAccelerator) -> None:
    models = [accelerator.accelerate_model(BERT, platform="cpu", quantization={"bits": bits}) for bits in (4, 16)]
    before = [model.get_performance_metrics().get("inferences", 0) for model in models]
    for model, times in zip(models, (1, 2), strict=True):
        model.run_batch([TOKENS] * times)
    after = [model.get_performance_metrics() for model in models]
    assert [each["inferences"] for each in after] == [before[0] + 1, before[1] + 2]
    assert [each["precision"] for each in after] == ["q4", "fp32"]
    together = accelerator.integration.get_metrics()["by_model"][BERT]
    assert together["inferences"] == sum(each["inferences"] for each in together["variants"].values())


def test_quantization_with_impossible_bits_is_refused(accelerator: IPFSWebAccelerator, bert: EnhancedWebModel) -> None:
    with pytest.raises(OptionError, match="bits must be one of"):
        accelerator.run_inference(BERT, TOKENS, platform="cpu", quantization={"bits": 7})


@pytest.mark.parametrize("platform", ["webnn", "cpu"])
def test_plain_run_uses_the_model_that_was_accelerated_whatever_its_arguments(
    accelerator: IPFSWebAccelerator, integration: IPFSAccelerateWebIntegration, platform: str
) -> None:
    model = accelerator.accelerate_model(BERT, "text", platform, {"bits": 16, "mixed_precision": False})
    asked = {"cpu": "wasm"}.get(platform, platform)
    loads = integration.get_metrics()["resource_pool"]["total_requests"]
    assert accelerator.run_inference(BERT, TOKENS).asked == asked
    assert [each.asked for each in accelerator.run_batch_inference(BERT, [TOKENS, TOKENS])] == [asked, asked]
    assert integration.get_metrics()["resource_pool"]["total_requests"] == loads, "no second model was loaded"
    assert integration.loaded(BERT) is model
    assert accelerator.run_inference(BERT, TOKENS, platform="auto").asked == "auto"


def test_unknown_family_is_refused(integration: IPFSAccelerateWebIntegration) -> None:
    with pytest.raises(OptionError, match="model_type must be one of"):
        integration.get_model(BERT, model_type="poetry", platform="cpu")


def test_requests_of_several_models_are_made_in_the_callers_context() -> None:
    class Asked:
        def run_batch(self, items: list[Any], _: int | None) -> list[Any]:
            return [is_recorded()] * len(items)

    def run() -> list[Any]:
        models: list[Any] = [Asked(), Asked()]
        return [*run_parallel([(model, {}) for model in models])]

    with unrecorded():
        assert run() == [False, False]
    assert run() == [True, True]

"""The guide's accelerator: models by name, loaded when they are first used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from webinfer.compat.integration import IPFSAccelerateWebIntegration, check_later
from webinfer.compat.model import EnhancedWebModel
from webinfer.inference.model import Inputs
from webinfer.inference.result import Result
from webinfer.pool.requests.request import unrecorded


def create_ipfs_web_accelerator(
    db_path: str | None = None,
    max_connections: int = 4,
    enable_gpu: bool = True,
    enable_cpu: bool = True,
    browser_preferences: Mapping[str, str] | None = None,
    **keywords: Any,
) -> IPFSWebAccelerator:
    """Make an accelerator, the guide's way.

    Args:
        db_path: DuckDB file to record every request in; ``None`` keeps the newest in memory, for the report.
        max_connections: Lanes that may run at once, at most one for each core.
        enable_gpu: Whether WebGPU may be used.
        enable_cpu: Whether WebAssembly may be used.
        browser_preferences: Browser by family of models, in place of the guide's recommendations: Firefox for audio,
            Edge for text embedding, Chrome for the others. If a browser is not available, the next one that can run
            the model takes its place, and the results say so.
        keywords: The guide's other keywords: ``websocket_port``, ``headless``, ``connection_retry_attempts``,
            ``retry_attempts``, ``enable_progressive_backoff``, ``timeout_multiplier``,
            ``inference_timeout_multiplier``, ``large_input_timeout_multiplier``, ``enable_input_size_detection``,
            ``adaptive_scaling``, ``min_connections``, ``idle_timeout``, ``restart_on_memory_pressure``,
            ``enable_cross_browser_sharding``.

    Returns:
        The accelerator. Its browsers start with the first model.

    Raises:
        OptionError: A keyword is unknown, or has an invalid value.
    """
    return IPFSWebAccelerator(
        IPFSAccelerateWebIntegration(
            max_connections, enable_gpu, enable_cpu, browser_preferences, db_path=db_path, **keywords
        ),
        db_path,
    )


class IPFSWebAccelerator:
    """The guide's accelerator.

    Attributes:
        integration: The integration that it runs on.
        db_path: The database that it records in, if any.
    """

    def __init__(self, integration: IPFSAccelerateWebIntegration | None = None, db_path: str | None = None) -> None:
        self.integration = integration or IPFSAccelerateWebIntegration(db_path=db_path)
        self.db_path = db_path

    def __repr__(self) -> str:
        return f"<IPFSWebAccelerator {self.integration!r}>"

    def __enter__(self) -> IPFSWebAccelerator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def accelerate_model(
        self,
        model_name: str,
        model_type: str | None = None,
        platform: str = "webgpu",
        quantization: Mapping[str, Any] | None = None,
        optimizations: Mapping[str, Any] | None = None,
    ) -> EnhancedWebModel:
        """Load a model; see ``IPFSAccelerateWebIntegration.get_model``.

        Args:
            model_name: Name of the model.
            model_type: Its family; ``None`` reads it from the model.
            platform: ``webgpu``, ``webnn``, ``wasm``, ``cpu`` or ``auto``.
            quantization: ``bits`` and ``mixed_precision``.
            optimizations: Settings by name.

        Returns:
            The model, ready to run.

        Raises:
            WebinferError: As ``get_model``.
        """
        return self.integration.get_model(
            model_name, model_type, platform, quantization=quantization, optimizations=optimizations
        )

    def run_inference(
        self,
        model_name: str,
        inputs: Inputs,
        model_type: str | None = None,
        platform: str | None = None,
        quantization: Mapping[str, Any] | None = None,
        optimizations: Mapping[str, Any] | None = None,
        store_results: bool = True,
    ) -> Result:
        """Run one request on a model. The model is loaded first if it is not loaded yet.

        Args:
            model_name: The model.
            inputs: As ``EnhancedWebModel.run``.
            model_type: As ``accelerate_model``, where the model is loaded now.
            platform: As ``accelerate_model``. ``None`` takes the model of this name that was loaded last, on any
                platform. If there is none, it takes ``webgpu``.
            quantization: As ``accelerate_model``. ``None`` takes the model of this name that was loaded last, in any
                precision. If there is none, it takes full precision.
            optimizations: As ``accelerate_model``.
            store_results: Whether this request is recorded in the database.

        Returns:
            The outputs and what was observed.

        Raises:
            WebinferError: As ``accelerate_model`` and ``Model.run``.
        """
        check_later(optimizations)
        model = self._model(model_name, model_type, platform, quantization)
        with _storing(store_results):
            return model.run(inputs)

    def run_batch_inference(
        self,
        model_name: str,
        batch_inputs: Iterable[Inputs],
        model_type: str | None = None,
        platform: str | None = None,
        batch_size: int | None = None,
        store_results: bool = True,
    ) -> list[Result]:
        """Run many requests on a model, and return their results in order.

        Args:
            model_name: The model. It is loaded first if it is not loaded yet.
            batch_inputs: The requests.
            model_type: As ``run_inference``.
            platform: As ``run_inference``.
            batch_size: Most requests that run at the same time; ``None`` leaves it to the model.
            store_results: Whether these requests are recorded in the database.

        Returns:
            A result for each request, in order.

        Raises:
            WebinferError: As ``run_inference``.
        """
        model = self._model(model_name, model_type, platform)
        with _storing(store_results):
            return model.run_batch(list(batch_inputs), batch_size)

    def get_performance_report(self, format: str = "json") -> str:
        """Write a report of what this accelerator did.

        Args:
            format: ``json``, ``markdown`` or ``html``.

        Returns:
            The report, in the format asked for.

        Raises:
            OptionError: There is no such format.
        """
        return self.integration.get_performance_report(format)

    def close(self) -> None:
        """End the browsers."""
        self.integration.close()

    def _model(
        self,
        model_name: str,
        model_type: str | None,
        platform: str | None,
        quantization: Mapping[str, Any] | None = None,
    ) -> EnhancedWebModel:
        known = self.integration.loaded(model_name, platform, quantization)
        return known or self.accelerate_model(model_name, model_type, platform or "webgpu", quantization)


def _storing(store: bool) -> AbstractContextManager[None]:
    return nullcontext() if store else unrecorded()

"""The guide's integration: models by name on one pool of browsers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from webinfer.api.sync.accelerator import Accelerator
from webinfer.compat import resources
from webinfer.compat.keywords import choose, factors_of, platform_of, read, refuse_later
from webinfer.compat.model import EnhancedWebModel, run_parallel
from webinfer.core.options import Platform
from webinfer.inference.model import Inputs
from webinfer.inference.result import Result
from webinfer.quantization import precision_of


class IPFSAccelerateWebIntegration:
    """Models by name on one pool. The global resource pool hands out the first integration that is open.

    Args:
        max_connections: Lanes that may run at once, at most one for each core.
        enable_gpu: Whether WebGPU may be used.
        enable_cpu: Whether WebAssembly may be used.
        browser_preferences: Browser by family, in place of the guide's recommendations.
        adaptive_scaling: Whether the number of lanes follows the work. It grows from ``min_connections`` (1) to
            ``max_connections``, and shrinks after ``idle_timeout`` seconds without work.
        keywords: As ``create_ipfs_web_accelerator``.

    Raises:
        OptionError: A keyword is unknown, is not available yet, or has an invalid value.
    """

    def __init__(
        self,
        max_connections: int = 4,
        enable_gpu: bool = True,
        enable_cpu: bool = True,
        browser_preferences: Mapping[str, str] | None = None,
        adaptive_scaling: bool = False,
        **keywords: Any,
    ) -> None:
        self._settings = read(
            max_connections=max_connections,
            enable_gpu=enable_gpu,
            enable_cpu=enable_cpu,
            browser_preferences=browser_preferences,
            adaptive_scaling=adaptive_scaling,
            **keywords,
        )
        self._accelerator = Accelerator(self._settings.options)
        # By name, platform and precision as the caller gave them. The most recently used model is at the end.
        self._models: dict[tuple[str, Platform, str | None], EnhancedWebModel] = {}
        resources.share(self)

    def __repr__(self) -> str:
        return f"<IPFSAccelerateWebIntegration {self._accelerator!r}>"

    def __enter__(self) -> IPFSAccelerateWebIntegration:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get_model(
        self,
        model_name: str,
        model_type: str | None = None,
        platform: str = "webgpu",
        batch_size: int = 1,
        quantization: Mapping[str, Any] | None = None,
        optimizations: Mapping[str, Any] | None = None,
    ) -> EnhancedWebModel:
        """Load a model, unless it is loaded.

        If the browser cannot run ``platform``, the next backend takes its place, and the results say so.

        Args:
            model_name: As ``Accelerator.load``.
            model_type: The model's family, or ``text``; ``None`` takes what its files say.
            platform: ``webgpu``, ``webnn``, ``wasm`` (or ``cpu``), or ``auto``.
            batch_size: As ``EnhancedWebModel.set_max_batch_size``; 1 leaves it as it is.
            quantization: ``{"bits": 16 | 8 | 4 | 3 | 2, "mixed_precision": bool}``; see ``precision_of``. The model is
                quantized if its author ships no file in that precision. If the platform cannot run the precision, the
                next one with more bits takes its place, and the results say so.
            optimizations: Not available yet.

        Returns:
            The model, ready to run.

        Raises:
            OptionError: An argument has an invalid value, or is not available yet.
            WebinferError: As ``Accelerator.load``.
        """
        check_later(optimizations)
        asked, precision = platform_of(platform), precision_of(quantization)
        gpu, cpu = self._settings.gpu, self._settings.cpu
        chosen, reason = (asked, None) if gpu and cpu else choose(asked, self._accelerator.start(), gpu=gpu, cpu=cpu)
        model = self._accelerator.load(model_name, platform=chosen, precision=precision, fallback=gpu and cpu)
        loaded = EnhancedWebModel(
            model,
            model_name,
            model_type=model_type,
            asked=asked,
            reason=reason,
            figures=self._figures,
        )
        key = model_name, asked, precision
        known = self._models[key] = self._models.pop(key, loaded)
        if known is not loaded:
            model.close()  # the sessions stay open: the known model shares them
            known.model_type = loaded.model_type if model_type else known.model_type
        if batch_size != 1:
            known.set_max_batch_size(batch_size)
        return known

    def run_inference(
        self, model: EnhancedWebModel, inputs: Inputs, batch_size: int | None = None
    ) -> Result | list[Result]:
        """Run one request, or a list of requests.

        Args:
            model: A model of this integration.
            inputs: As ``Model.run`` takes them, or a list of such.
            batch_size: Most requests of a list that run at the same time; ``None`` for no limit.

        Returns:
            One result, or a list in order.

        Raises:
            WebinferError: As ``Model.run``.
        """
        return model.run_batch(inputs, batch_size) if batch_size and isinstance(inputs, list) else model(inputs)

    def run_parallel_inference(
        self, model_inputs: Sequence[tuple[EnhancedWebModel, Inputs]], batch_size: int | None = None
    ) -> list[Result]:
        """Run requests of several models at once, and return their results in order.

        Args:
            model_inputs: Pairs of a model and its inputs.
            batch_size: Most requests of one model that run at the same time; ``None`` for no limit.

        Returns:
            A result for each pair, in order.

        Raises:
            WebinferError: As ``Model.run``. The first error in order is raised, after all requests have ended.
        """
        return run_parallel(model_inputs, batch_size)

    def configure_model_timeouts(self, factors: Mapping[str, float]) -> None:
        """Scale the time limit of runs by their model's family.

        Args:
            factors: By family; ``text`` stands for ``text_embedding`` and ``text_generation``. Other families keep
                their factors.

        Raises:
            OptionError: A family is unknown, or a factor is not above 0.
        """
        self._accelerator.scale_timeouts(factors_of(factors))

    def configure_memory_limits(self, limits: Mapping[str, float]) -> None:
        """Limit the browsers' memory.

        A browser above its limit frees the memory of its lanes. With ``restart_on_memory_pressure`` it is restarted.

        Args:
            limits: Megabytes by browser. A browser that takes the place of Chrome or Edge has the limit of that one.

        Raises:
            OptionError: There is no such browser, or the limit is too small for any browser.
        """
        self._accelerator.limit_memory(limits)

    def get_metrics(self) -> dict[str, Any]:
        """Return the sections ``models``, ``aggregate``, ``bridge`` and ``resource_pool``.

        ``models`` has each figure by the model's name, and the runs by platform. ``by_model`` has all figures of each
        name. Its ``variants`` have those of each precision.
        """
        metrics = self._accelerator.metrics()
        by_model: dict[str, dict[str, Any]] = metrics["models"]
        return {**metrics, "models": _by_figure(by_model, metrics["aggregate"]), "by_model": by_model}

    def get_performance_report(self, format: str = "json") -> str:
        """Write a report of what the pool did.

        Args:
            format: ``json``, ``markdown`` or ``html``.

        Returns:
            The report, in the format asked for.

        Raises:
            OptionError: There is no such format.
        """
        return self._accelerator.report(format)

    def loaded(
        self, model_name: str, platform: str | None = None, quantization: Mapping[str, Any] | None = None
    ) -> EnhancedWebModel | None:
        """Return the model that was loaded under this name, if there is one.

        Args:
            model_name: The name.
            platform: Its platform; ``None`` takes the model that was loaded last.
            quantization: As ``get_model``; ``None`` takes the model that was loaded last.

        Returns:
            The model, or ``None``.
        """
        required = None if platform is None else platform_of(platform)
        for (name, asked, precision), model in reversed(self._models.items()):
            fits = quantization is None or precision_of(quantization) == precision
            if name == model_name and required in (None, asked) and fits:
                return model
        return None

    def close(self) -> None:
        """Close the browsers."""
        resources.forget(self)
        self._accelerator.close()

    def _figures(self, name: str, sha256: str) -> Mapping[str, Any]:
        known: Mapping[str, Any] = self._accelerator.metrics()["models"].get(name, {})
        figures: Mapping[str, Any] = known.get("variants", {}).get(sha256, {})
        return figures


def check_later(optimizations: Mapping[str, Any] | None) -> None:
    """Refuse settings that are not available yet.

    Args:
        optimizations: Settings by name.

    Raises:
        OptionError: There is such a setting.
    """
    refuse_later("optimizations", optimizations, {})


def _by_figure(by_model: Mapping[str, Mapping[str, Any]], aggregate: Mapping[str, Any]) -> dict[str, Any]:
    figures = ("model_load_time", "inference_time", "memory_usage", "throughput", "latency", "batch_size")
    return {
        **{figure: {name: values[figure] for name, values in by_model.items()} for figure in figures},
        "platform_distribution": aggregate["platform_distribution"],
    }

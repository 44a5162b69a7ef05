"""What reports of many adapters prove.

Those marked ``here`` were recorded from browsers on the machine that this was developed on. All others are written from
the documentation of the specification, of Dawn, wgpu and the drivers, in the form in which browsers report: they were
not recorded from such hardware.
"""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from tests.frames import report as page_report
from webinfer.browsers.discovery.gpus import list_gpus, uses_gpu
from webinfer.core.capabilities import Capabilities, Speeds
from webinfer.core.capabilities.verdict import judge_speed, judge_webnn
from webinfer.core.placement import Placement

ADAPTERS = {
    "here: SwiftShader in Chromium": (
        "google swiftshader '' 'SwiftShader Device (Subzero)' CPU vulkan SwiftShader-5.0.0",
        True,
        "software",
    ),
    "here: lavapipe in Firefox": ("'' '' '' '' '' '' ''", True, "software"),
    "written: SwiftShader without developer features": ("google swiftshader '' '' '' '' ''", True, "software"),
    "written: SwiftShader without a fallback flag": ("google swiftshader '' '' '' '' ''", False, "software"),
    "written: llvmpipe in Chromium": ("mesa '' '' 'llvmpipe (LLVM 15.0.6, 256 bits)' CPU vulkan ''", False, "software"),
    "written: Mesa's vendor alone": ("mesa '' '' '' '' '' ''", False, "software"),
    "written: WARP in Chromium": ("microsoft warp '' 'Microsoft Basic Render Driver' CPU D3D12 ''", True, "software"),
    "written: Basic Render Driver without a flag": (
        "microsoft '' 0x008c 'Microsoft Basic Render Driver' '' '' ''",
        False,
        "software",
    ),
    "written: NVIDIA, developer features": (
        "nvidia ampere 0x2204 'NVIDIA GeForce RTX 3090' 'discrete GPU' vulkan '535.54.03'",
        False,
        "hardware",
    ),
    "written: NVIDIA, as pages usually see it": ("nvidia turing '' '' '' '' ''", False, "hardware"),
    "written: AMD": ("amd rdna-3 '' '' '' '' ''", False, "hardware"),
    "written: AMD, integrated": ("amd gcn-5 '' 'AMD Radeon Graphics' 'integrated GPU' vulkan ''", False, "hardware"),
    "written: Intel": ("intel gen-12lp '' 'Intel(R) Iris(R) Xe' 'integrated GPU' D3D12 ''", False, "hardware"),
    "written: Apple": ("apple metal-3 '' '' '' '' ''", False, "hardware"),
    "written: Qualcomm": ("qualcomm adreno-7xx '' '' '' '' ''", False, "hardware"),
    "written: ARM": ("arm valhall '' '' '' '' ''", False, "hardware"),
    "written: a paravirtual GPU": ("'' '' '' 'Virtio-GPU Venus' 'virtual GPU' vulkan ''", False, "unproven"),
    "written: Firefox on a real GPU, and Safari": ("'' '' '' '' '' '' ''", False, "unproven"),
    "written: an unheard-of maker": ("acme rocket '' '' '' '' ''", False, "unproven"),
}
FIELDS = ("vendor", "architecture", "device", "description", "type", "backend", "driver")


def report(words: str, is_fallback: bool) -> Capabilities:
    adapter = {**dict(zip(FIELDS, shlex.split(words), strict=True)), "is_fallback": is_fallback}
    return Capabilities.of(page_report(adapter))


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_is_judged_by_what_it_says_of_itself(name: str) -> None:
    words, is_fallback, kind = ADAPTERS[name]
    verdict = report(words, is_fallback).verdict("webgpu")
    assert verdict.kind == kind
    assert verdict.evidence


def test_hardware_that_the_operating_system_does_not_list_is_not_proven() -> None:
    seen = report("nvidia ampere '' '' '' '' ''", False)
    assert replace(seen, gpus=()).verdict("webgpu").kind == "unproven"
    listed = replace(seen, gpus=("PCI 10de:2204 (nvidia)",)).verdict("webgpu")
    assert listed.kind == "hardware"
    assert "PCI 10de:2204" in " ".join(listed.evidence)


def test_hardware_that_runs_only_part_of_a_graph_is_mixed() -> None:
    verdict = report("nvidia ampere '' '' '' '' ''", False).verdict("webgpu")
    some = Placement(backend="webgpu", nodes={"webgpu": 8, "wasm": 2}, fallen={"Mod": 2})
    assert verdict.over(some).kind == "mixed"
    assert "8 of 10 nodes on webgpu, 2 on wasm (2 Mod)" in verdict.over(some).evidence[0]
    assert verdict.over(replace(some, nodes={"webgpu": 97, "wasm": 3})) == verdict
    assert report("google swiftshader '' '' '' '' ''", True).verdict("webgpu").over(some).kind == "software"


NAMELESS = "'' '' '' '' '' '' ''"
THREAD = (40.0, 12.0)  # GFLOP/s and GB/s of one thread of WebAssembly
SPEEDS = {
    # Recorded here: SwiftShader in Chromium and lavapipe in Firefox, on two cores. The others follow from the bound.
    "here: SwiftShader": ((4.18, 0.458), (46.5, 28.1), 2, "unproven"),
    "here: lavapipe": ((35.0, 4.42), (39.1, 12.9), 2, "unproven"),
    "written: a discrete GPU beside eight cores": ((9000.0, 350.0), THREAD, 16, "hardware"),
    "written: a rasterizer with wide vectors on many cores": ((9000.0, 100.0), THREAD, 128, "unproven"),
    "written: an integrated GPU within reach of the CPU": ((400.0, 40.0), THREAD, 8, "unproven"),
    "written: WebAssembly that is not compiled": ((300.0, 40.0), (0.2, 0.1), 2, "unproven"),
    "written: WebAssembly without vectors": ((9000.0, 350.0), None, 16, "hardware"),
}


@pytest.mark.parametrize("name", SPEEDS)
def test_adapter_without_words_is_judged_by_its_speed(name: str) -> None:
    gpu, cpu, cores, kind = SPEEDS[name]
    seen = replace(report(NAMELESS, False), speeds=Speeds(gpu, cpu, cores))
    verdict = seen.verdict("webgpu")
    assert verdict.kind == kind
    told = " ".join(verdict.evidence)
    assert f"{gpu[0]:.3g} GFLOP/s" in told
    assert ("could not do that" in told) is (kind == "hardware")
    assert "neither a type nor a vendor" in told


@pytest.mark.parametrize("name", ADAPTERS)
def test_speed_overrules_no_word(name: str) -> None:
    words, is_fallback, kind = ADAPTERS[name]
    silent = kind == "unproven" and "virtual GPU" not in words  # behind which may be another machine's cores
    for fast, proven in ((1.0, kind), (1e6, "hardware" if silent else kind)):
        seen = replace(report(words, is_fallback), speeds=Speeds((fast, 1.0), THREAD, 8))
        assert seen.verdict("webgpu").kind == proven


def test_speed_beyond_the_bound_alone_proves_hardware() -> None:
    bound = 8 * 2 * 40.0
    assert judge_speed("unproven", (bound, 1.0), THREAD, 2)[0] == "unproven"
    assert judge_speed("unproven", (bound + 1, 1.0), THREAD, 2)[0] == "hardware"
    assert "0.5 times one thread" in judge_speed("software", (20.0, 1.0), THREAD, 2)[1][0]


def test_evidence_of_a_speed_names_what_software_could_reach() -> None:
    observed = judge_speed("software", (20.0, 1.0), THREAD, 2)[1]
    assert observed[1:] == (
        "software on 2 logical cores could do that, since it reaches at most 640 GFLOP/s",
        "it moves 1 GB/s and one thread of WebAssembly moves 12",
    )


def test_speeds_are_written_with_their_names() -> None:
    speeds = Speeds((4.0, 1.0), (40.0, 12.0), 2)
    named = {"gpu": {"gflops": 4.0, "gbps": 1.0}, "cpu": {"gflops": 40.0, "gbps": 12.0}, "cores": 2}
    assert speeds.to_dict() == named
    assert replace(speeds, cpu=None).to_dict() == {**named, "cpu": None}


def test_webnn_is_judged_by_the_device_that_was_asked_for() -> None:
    assert judge_webnn("chromium", "Linux", "gpu")[0] == "software"  # it says yes to gpu, and takes the CPU
    assert judge_webnn("chromium", "Windows", "cpu")[0] == "software"
    assert judge_webnn("chromium", "macOS", "npu")[0] == "unproven"


def test_gpus_are_read_from_the_kernels_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    assert list_gpus(tmp_path) == ()
    device = tmp_path / "sys/class/drm/card0/device"
    device.mkdir(parents=True)
    (tmp_path / "sys/class/drm/card0-HDMI-A-1").mkdir()
    (device / "vendor").write_text("0x8086\n")
    (device / "device").write_text("0x9a49\n")
    (tmp_path / "drivers/i915").mkdir(parents=True)
    (device / "driver").symlink_to(tmp_path / "drivers/i915")
    gpu = tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0"
    gpu.mkdir(parents=True)
    (gpu / "information").write_text("Model: \t\t NVIDIA H100\nIRQ: 1\n")
    (gpu.parent.parent / "version").write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n")
    assert list_gpus(tmp_path) == ("PCI 8086:9a49 (i915)", "NVIDIA H100 (nvidia 550.54.14)")


def test_a_process_that_is_not_ours_tells_nothing_of_gpus() -> None:
    assert uses_gpu(0) is None

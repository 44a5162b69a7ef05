"""Records as a benchmark would leave them, with times that are made up."""

from __future__ import annotations

import numpy as np

from webinfer.bench.cell import Agreement, Cell, Configuration, Turn
from webinfer.bench.measurement.interval import cost_interval, costs_by_launch
from webinfer.bench.record import Method, NativeReference, Record

WASM = Configuration(model="random:bert-tiny", browser="embedded", backend="wasm")
WEBNN = Configuration(model="random:bert-tiny", browser="embedded", backend="webnn")
RIGHT = Agreement(passed=True, difference=1e-6, tolerance=1e-3, cosine=1.0, digest="a", native="b")
WRONG = Agreement(
    passed=False,
    difference=0.3,
    tolerance=1e-3,
    cosine=0.8,
    digest="c",
    native="b",
    fault="y is off by 0.3 of its largest value, over 0.001",
)


def record(
    seed: int,
    *,
    slower: float = 1.0,
    machine: float = 1.0,
    launched: int = 3,
    cells: tuple[Configuration, ...] = (WASM, WEBNN),
    agreement: Agreement = RIGHT,
) -> Record:
    """Make a record up.

    Args:
        seed: Chooses the noise.
        slower: Factor of the browsers' times.
        machine: Factor of all times.
        launched: Launches.
        cells: Configurations.
        agreement: Of each one.
    """
    chance = np.random.default_rng(seed)

    def turns(level: float) -> list[Turn]:
        taken = []
        for launch in range(launched):
            own = level * np.exp(chance.normal(0, 0.01))
            for number in range(8):
                seconds = [float(own * np.exp(chance.normal(0, 0.03))) for _ in range(5)]
                taken.append(Turn(launch=launch, round=number, seconds=seconds, elapsed=sum(seconds)))
        return taken

    drawn = Record(
        id=f"made-up-{seed}",
        status="finished",
        started="2026-01-01T00:00:00+00:00",
        machine={"id": "m", "cores": 2, "cpu": "CPU", "os": "OS", "python": "3"},
        method=Method(launches=launched),
        references=[NativeReference(model=WASM.model, precision="full", concurrency=1, turns=turns(0.005 * machine))],
        yardstick=chance.normal(0.01, 0.0002, 24).tolist(),
    )
    for configuration in cells:
        cell = Cell(configuration=configuration, status="measured", verdict="software", agreement=agreement)
        cell.turns = turns(0.02 * slower * machine)
        cell.interval = cost_interval(costs_by_launch(cell.turns), 0.95)
        drawn.cells.append(cell)
    return drawn

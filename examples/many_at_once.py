"""Many requests at once, asynchronously, on two lanes; and what became of the time."""

from __future__ import annotations

import asyncio

from webinfer import AsyncAccelerator

SENTENCES = [f"Sentence number {number} says little." for number in range(32)]


async def main() -> None:
    async with AsyncAccelerator(lanes=2) as accelerator:
        model = await accelerator.load("wheel:all-MiniLM-L6-v2")
        results = await model.run_batch(SENTENCES)
        lanes = sorted({result.lane for result in results})
        print(f"{len(results)} answers from lanes {', '.join(lanes)}")
        figures = (await accelerator.metrics())["aggregate"]
        print(f"mean time in the browser {figures['avg_inference_time'] * 1e3:.1f} ms a sentence")


asyncio.run(main())

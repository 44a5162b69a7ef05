"""Which of these sentences means the same? A sentence-embedding model in a browser tells."""

from __future__ import annotations

from webinfer import Accelerator

QUESTION = "How do I get my money back?"
ANSWERS = [
    "Refunds are paid within five days.",
    "Our shops open at nine.",
    "Parcels travel by train.",
]

with Accelerator() as accelerator:
    model = accelerator.load("wheel:all-MiniLM-L6-v2")
    vectors = model.embed([QUESTION, *ANSWERS])
    for similarity, answer in sorted(zip(vectors[1:] @ vectors[0], ANSWERS, strict=True), reverse=True):
        print(f"{similarity:.2f}  {answer}")

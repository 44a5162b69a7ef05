"""What decoders of text share: a cache of keys and values that grows with the text, and masks that fit it."""

from __future__ import annotations

from webinfer.models.zoo.architectures.layers import HIDDEN, as_float32, dimension, float_type, padding_mask
from webinfer.models.zoo.formats.graph import Graph


class Cache:
    """The inputs ``past_key_values.N.key`` and ``.value`` and the outputs ``present.N.key`` and ``.value``.

    They have the shape (batch, heads, tokens, size), as in decoders that Optimum exports. The inputs hold the tokens so
    far; the outputs hold these and the tokens of this run.

    Args:
        graph: The graph.
        layers: How many layers have keys and values.
        heads: Heads of keys and values.
        size: Of one head.
    """

    def __init__(self, graph: Graph, layers: int, heads: int, size: int) -> None:
        self._graph = graph
        self._heads, self._size = heads, size
        self._dtype = graph.dtype.name
        shape = ("batch", heads, "past", size)
        self._past = [
            {part: graph.input(f"past_key_values.{layer}.{part}", self._dtype, shape) for part in ("key", "value")}
            for layer in range(layers)
        ]
        self._present: list[tuple[str, str]] = []

    def __repr__(self) -> str:
        return f"<Cache layers={len(self._past)} heads={self._heads} size={self._size}>"

    def extend(self, layer: int, part: str, new: str) -> str:
        """Put new keys or values, shape (batch, heads, sequence, size), behind the earlier ones; return them all.

        Args:
            layer: Number of the layer.
            part: ``key`` or ``value``.
            new: Name of the new ones.

        Returns:
            Name of all of them, shape (batch, heads, past and new sequence, size).
        """
        whole = self._graph.add("Concat", self._past[layer][part], new, axis=2)
        self._present.append((whole, f"present.{layer}.{part}"))
        return whole

    def give(self) -> None:
        """Declare the outputs; called once, behind the model's other outputs."""
        for value, name in self._present:
            self._graph.output(value, name, self._dtype, ("batch", self._heads, "total", self._size))

    def mask(self, ids: str, attended: str) -> str:
        """Return scores to add, shape (batch, 1, sequence, total): no look ahead, and none at padding.

        Args:
            ids: The tokens of this run, shape (batch, sequence).
            attended: 1 for a token and 0 for padding, of the earlier tokens and these, shape (batch, total).
        """
        graph = self._graph
        past = dimension(graph, self._past[0]["key"], 2)
        total = graph.add("Add", past, dimension(graph, ids, 1))
        zero, one, first = (graph.constant(value, "int64") for value in (0, 1, [0]))
        start, stop = (graph.add("Squeeze", size, first) for size in (past, total))
        # A column of this run's positions against a row of all positions: a key after its query is ahead.
        queries = graph.add("Unsqueeze", graph.add("Range", start, stop, one), graph.constant([1], "int64"))
        keys = graph.add("Unsqueeze", graph.add("Range", zero, stop, one), first)
        ahead = graph.add("Cast", graph.add("Greater", keys, queries), to=float_type(graph))
        hidden = graph.add("Mul", ahead, graph.constant(HIDDEN))
        return graph.add("Add", hidden, padding_mask(graph, attended))


def logits(graph: Graph, x: str, table: str, vocabulary: int) -> None:
    """Declare the output ``logits``: ``x`` times the rows of the embedding table, which is stored once.

    Args:
        graph: The graph that nodes are added to.
        x: Name of the activations, shape (batch, sequence, hidden size).
        table: Name of the embedding table, shape (vocabulary, hidden size).
        vocabulary: Number of tokens.
    """
    scores = graph.add("MatMul", x, graph.add("Transpose", table, perm=[1, 0]))
    graph.output(as_float32(graph, scores), "logits", "float32", ("batch", "sequence", vocabulary))

"""The facts of nodes: what is told apart, and what is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.accuracy.atlas.graphs import facts, graph, resize
from webinfer.accuracy.atlas.traits import axes_trait, facts_of


def test_resizes_that_browsers_tell_apart_have_other_traits() -> None:
    plain = facts(resize(coordinate_transformation_mode="half_pixel"))
    assert plain.traits == facts(resize()).traits  # it is the operator's own value
    others = [
        resize(coordinate_transformation_mode="align_corners"),
        resize(mode="nearest"),
        resize(1.5),
        resize(1.3),
        resize(0.5),
    ]
    traits = [dict(facts(other).traits) for other in others]
    assert all(trait != plain.traits for trait in traits)
    assert len({tuple(sorted(trait.items())) for trait in traits}) == len(others)


def test_sizes_that_decide_nothing_are_no_traits() -> None:
    assert facts(resize(shape=(1, 3, 8, 8))).traits == facts(resize(shape=(2, 5, 64, 48))).traits
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=4)
    small = graph(node, (3, 1, 2), w=np.zeros((1, 12, 2), np.float32), r=np.zeros((1, 12, 4), np.float32))
    node = helper.make_node("GRU", ["x", "w", "r"], ["y"], hidden_size=8)
    large = graph(node, (9, 1, 6), w=np.zeros((1, 24, 6), np.float32), r=np.zeros((1, 24, 8), np.float32))
    assert facts(small).traits == facts(large).traits


def test_what_an_open_shape_leaves_open_is_no_trait() -> None:
    node = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    known, other = facts(graph(node, (1, 3, 7, 7))), facts(graph(node, ("n", 3, "h", "w")))
    assert known.traits["windows"] == "ragged"
    assert "windows" not in other.traits
    assert facts(graph(node, (1, 3, 8, 8))).traits["windows"] == "whole"


@pytest.mark.parametrize(("channels", "trait"), [(3, "3"), (4, "4n"), (6, "3n"), (9, "3n"), (10, "2n"), (25, "odd")])
def test_channels_are_told_apart_by_what_vectors_of_four_make_of_them(channels: int, trait: str) -> None:
    node = helper.make_node("Conv", ["x", "w"], ["y"])
    model = graph(node, (1, channels, 8, 8), w=np.zeros((4, channels, 3, 3), np.float32))
    assert facts(model).traits["channels"] == trait


def test_inputs_are_constant_missing_or_of_the_request() -> None:
    assert facts(resize()).traits["inputs"] == "d-c"
    assert facts(resize()).dtypes == ("float32", "", "float32")
    assert str(facts(resize())) == "Resize-18 (mode=linear)"


def test_values_left_out_are_those_that_the_operator_has() -> None:
    bare = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2])
    full = helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[2, 2], pads=[0] * 4, strides=[1, 1])
    assert facts(graph(bare)).traits == facts(graph(full)).traits


def test_nodes_of_subgraphs_are_there_and_their_owner_has_no_traits() -> None:
    def branch(operator: str) -> object:
        out = helper.make_tensor_value_info(f"{operator}_out", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(operator, ["x"], [f"{operator}_out"])], operator, [], [out])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Abs"), else_branch=branch("Neg"))
    pairs = facts_of(graph(node, (2, 3), c=np.array(True)))
    assert {one.operator: bool(one.traits) for _, one in pairs} == {"If": False, "Abs": True, "Neg": True}


def test_axes_are_named_by_where_they_are() -> None:
    assert axes_trait([-1], 4) == axes_trait([3], 4) == axes_trait([-1], None) == "last"
    assert axes_trait([0, 1, 2], 3) == "all"
    assert axes_trait([1], 4) == "other"


@pytest.mark.parametrize(("kernel", "stride", "split"), [(2, 1, "uneven"), (3, 1, "even"), (2, 2, "none")])
def test_automatic_padding_is_told_apart_by_how_it_is_split(kernel: int, stride: int, split: str) -> None:
    stated: dict[str, Any] = {"auto_pad": "SAME_LOWER", "kernel_shape": [kernel] * 2, "strides": [stride] * 2}
    assert facts(graph(helper.make_node("AveragePool", ["x"], ["y"], **stated))).traits["split"] == split

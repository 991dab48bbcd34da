"""The layers whose states are worth caching."""

from __future__ import annotations

from renderer.stages.activation_cache import choose_cached_layers


def test_within_a_budget_the_layers_that_save_most_are_cached() -> None:
    costs, sizes = [1.0, 1.0, 8.0, 1.0], [10, 10, 10, 10]
    assert choose_cached_layers(costs, sizes, 1000) == {1, 2, 3, 4}
    assert choose_cached_layers(costs, sizes, 10) == {3}  # behind the layer that costs most
    assert choose_cached_layers(costs, sizes, 9) == set()
    assert choose_cached_layers(costs, [10, 10, 100, 10], 20) == {2, 4}

"""The sampler's order is the published one, continues exactly and is shared by processes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from data import InfiniteSampler, infinite_sampler

GOLDEN = Path(__file__).resolve().parent.parent / "data" / "dataset"


EXPECTED = json.loads((GOLDEN / "expected.json").read_text())


@pytest.mark.parametrize("case", EXPECTED["infinite_sampler"], ids=lambda case: str(case["kwargs"]))
def test_the_published_order_of_images(case: dict) -> None:
    assert list(itertools.islice(infinite_sampler(case["n"], **case["kwargs"]), 150)) == case["first150"]


def test_an_order_continues_exactly_where_it_was_left() -> None:
    order = InfiniteSampler(50, seed=3)
    order.next_batch(77)
    kept = order.state_dict()
    rest = order.next_batch(500)
    again = InfiniteSampler(50, seed=99)
    again.load_state_dict(kept)
    assert (again.next_batch(500) == rest).all() and again.position == order.position
    with pytest.raises(ValueError, match="50 pictures, but the dataset has 49"):
        InfiniteSampler(49).load_state_dict(kept)


def test_two_processes_share_one_order_and_leave_nothing_out() -> None:
    whole = list(itertools.islice(infinite_sampler(13, seed=4), 60))
    shares = [list(itertools.islice(infinite_sampler(13, rank, 2, seed=4), 30)) for rank in (0, 1)]
    assert whole == [index for pair in zip(*shares, strict=True) for index in pair]

"""Errors are one sentence for the user."""

from __future__ import annotations

import pytest
import torch

from renderer.errors import is_out_of_memory, user_message


def test_when_memory_runs_out_the_sentence_says_so() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    for error in (refused.value, MemoryError()):
        assert is_out_of_memory(error)
        assert "not enough memory" in user_message(error)
    assert not is_out_of_memory(RuntimeError("The size of tensor a must match the size of tensor b"))

"""Paths lead to fields, and unknown ones are named."""

from __future__ import annotations

import pytest

from session import Scene, Transform
from session.field_paths import get_path, path_of, with_path
from session.fields import FieldError


def test_paths_lead_to_values_and_unknown_ones_are_named() -> None:
    scene = with_path(Scene(), "inspect.spectrum.beta", 3)
    assert get_path(scene, "inspect.spectrum.beta") == 3.0
    with pytest.raises(FieldError, match=r"truncation\.psi is 7\.0, but must be between -1 and 2"):
        with_path(scene, "truncation.psi", 7)
    with pytest.raises(FieldError, match=r"truncation\.pis: did you mean psi"):
        with_path(scene, "truncation.pis", 7)
    assert path_of(Transform) == "transform"
    assert path_of(Scene) == ""

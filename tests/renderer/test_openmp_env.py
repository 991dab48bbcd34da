"""Idle threads spin briefly and then sleep; the user's own settings are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from renderer.openmp_env import OPENMP_ENV, openmp_env

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("chosen", [{"OMP_WAIT_POLICY": "active"}, {"GOMP_SPINCOUNT": "7"}])
def test_what_the_user_has_set_stays(chosen):
    assert openmp_env(chosen) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="GNU OpenMP")
def test_the_program_sets_it_before_torch_is_loaded():
    clean = {name: value for name, value in os.environ.items() if name not in OPENMP_ENV}
    command = [sys.executable, "-c", "import visualizer, torch; print(torch.ones(1))"]
    env = {**clean, "OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, env=env, capture_output=True, text=True, check=True).stderr
    assert "OMP_WAIT_POLICY = 'PASSIVE'" in said
    assert "GOMP_SPINCOUNT = '1000'" in said

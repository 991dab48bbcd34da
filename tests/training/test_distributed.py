"""Two processes train like one that does both their rounds, and survive a kill as one does."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from small_training import command, finished, make_pictures, newest_state, same, told_folder, wait_for_tick

from runs.run_folder import read_lines

FLAGS = (
    "--cfg=stylegan3-t", "--device=cpu", "--batch=8", "--batch-gpu=4", "--gamma=0.05", "--cbase=128", "--cmax=8",
    "--kimg=0.032", "--tick=0.008", "--snap=0", "--grid=2x2", "--metrics=none", "--aug=fixed", "--p=0.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("data") / "pictures")


def test_two_processes_train_as_one_and_a_kill_changes_nothing(pictures: Path, tmp_path: Path) -> None:
    """Losses to 1e-4 of one process with two rounds; after kill -9 of both, bytes equal to those left alone."""
    runs = []
    for gpus in (1, 2):
        process = command("--outdir", tmp_path / str(gpus), "--data", pictures, *FLAGS, "--gpus", str(gpus))
        runs.append(told_folder(process))
        finished(process)
    one, two = (list(read_lines(run / "stats.jsonl")) for run in runs)
    assert len(one) == len(two) == 4
    for a, b in zip(one, two, strict=True):
        for name in ("Loss/G/loss", "Loss/D/loss", "Loss/scores/real"):
            assert a[name]["num"] == b[name]["num"]
            assert a[name]["mean"] == pytest.approx(b[name]["mean"], abs=1e-4)

    process = command("--outdir", tmp_path / "killed", "--data", pictures, *FLAGS, "--gpus", "2")
    killed = told_folder(process)
    wait_for_tick(process, 1)
    for child in children(process.pid):
        subprocess.run(["kill", "-9", str(child)], check=False)
    process.kill()
    process.communicate()
    time.sleep(0.2)
    finished(command("--run", killed))
    assert same(newest_state(runs[1]), newest_state(killed))
    names = [sorted((run / "snapshots").glob("*")) for run in (runs[1], killed)]
    assert [path.read_bytes() for path in names[0]] == [path.read_bytes() for path in names[1]]
    assert torch.distributed.is_available()


def children(pid: int) -> list[int]:
    """All processes below one."""
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    below = [int(word) for word in found]
    return below + [deeper for child in below for deeper in children(child)]


def test_ctrl_c_stops_all_processes_with_their_state_saved_and_in_one_line(pictures: Path, tmp_path: Path) -> None:
    process = command("--outdir", tmp_path, "--data", pictures, *FLAGS, "--gpus", "2", "--kimg", "400")
    folder = told_folder(process)
    wait_for_tick(process, 1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Stopped after ")
    assert list((folder / "state").glob("state-*.pt"))

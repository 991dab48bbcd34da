"""A run is a folder: it survives kills, damaged files and a second process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from runs.launch import stop
from runs.run_folder import RunError, RunFolder, append_line, read_lines
from runs.run_status import list_runs

ROOT = Path(__file__).resolve().parent.parent.parent


def test_runs_are_numbered_one_higher_than_the_highest(run: RunFolder) -> None:
    assert run.path.name == "00000-stylegan3-t-planets"
    (run.path.parent / "00041-of-before").mkdir()
    assert RunFolder.create(run.path.parent, "x").path.name == "00042-x"
    assert list_runs(run.path.parent) == [run.path]  # the others are no runs yet


def test_a_place_that_cannot_hold_runs_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="outdir"):
        RunFolder.create(tmp_path / "file", "x")


def test_what_is_no_run_is_said_in_one_sentence(run: RunFolder, tmp_path: Path) -> None:
    assert RunFolder.open(run.path, "train").read_description()["config"] == {"batch": 4}
    with pytest.raises(RunError, match="not a run"):
        RunFolder.open(tmp_path)
    with pytest.raises(RunError, match="of kind"):
        RunFolder.open(run.path, "metrics")
    (run.path / "run.yaml").write_text("[: damaged")
    with pytest.raises(RunError, match="damaged"):
        RunFolder.open(run.path)


def test_a_second_process_in_the_same_folder_is_refused_until_the_first_is_killed(run: RunFolder) -> None:
    code = (
        "import sys, time; from runs.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).lock(): print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, run.path], stdout=subprocess.PIPE, cwd=ROOT) as first:
        assert first.stdout is not None and first.stdout.readline() == b"in\n"
        with pytest.raises(RunError, match="another process"), run.lock():
            pass
        first.kill()
        first.wait()
        with run.lock():
            pass


def test_requests_arrive_and_damaged_ones_are_ignored(run: RunFolder) -> None:
    assert run.requests() == {}
    run.request(stop=True, snap=3)
    run.request(stop=None)
    assert run.requests() == {"snap": 3}
    stop(run.path)
    assert run.requests() == {"snap": 3, "stop": True}
    (run.path / "control.yaml").write_text("snap: [")
    assert run.requests() == {}


def test_lines_that_a_kill_left_half_written_are_skipped(run: RunFolder) -> None:
    path = run.path / "stats.jsonl"
    run.log_stats(tick=0)
    with path.open("a") as file:
        file.write('{"tick": 1, "half')
    append_line(path, {"tick": 2})
    assert [line["tick"] for line in read_lines(path)] == [0, 2]


def test_lines_beyond_a_resumed_state_are_dropped(run: RunFolder) -> None:
    for kimg in (0, 1, 2.5, 4):
        run.log_stats(**{"Progress/kimg": {"num": 1, "mean": kimg, "std": 0}})
    run.truncate_after("Progress/kimg", 2.5)
    assert len(list(read_lines(run.path / "stats.jsonl"))) == 3


def test_a_full_disk_stops_neither_status_nor_log(run: RunFolder) -> None:
    run.path.rename(run.path.with_name("away"))
    run.write_status(state="running")
    run.log("hello")
    assert not run.path.exists()


def test_a_name_that_is_no_text_gets_into_the_log_and_the_configuration(run: RunFolder) -> None:
    """Linux has names of files that no encoding knows; Python gives them as lone surrogates."""
    run.log("caf\udce9.zip: 12 pictures")
    assert (run.path / "log.txt").read_text(encoding="utf-8") == "caf\\udce9.zip: 12 pictures\n"
    run.write_description("train", {"data": "caf\udce9.zip"}, ["train"], {})
    assert run.read_description()["config"] == {"data": "caf\udce9.zip"}


def test_changes_are_kept_in_their_order(run: RunFolder) -> None:
    run.log_change(images=12, target=0.5)
    run.log_change(images=40, snap=2)
    assert [change["images"] for change in run.change_log()] == [12, 40]
    assert json.loads((run.path / "changes.jsonl").read_text().splitlines()[0])["target"] == 0.5

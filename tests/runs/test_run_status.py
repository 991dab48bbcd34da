"""A run can be watched by any process."""

from __future__ import annotations

import subprocess
import sys

from runs.run_folder import RunFolder
from runs.run_status import Tail, read_status


def test_a_watcher_sees_each_whole_line_once(run: RunFolder) -> None:
    tail = Tail(run.path / "stats.jsonl")
    assert tail.values() == []
    run.log_stats(tick=0)
    with (run.path / "stats.jsonl").open("a") as file:
        file.write('{"tick"')
        file.flush()
        assert tail.values() == [{"tick": 0}]
        file.write(": 1}\n")
    assert tail.values() == [{"tick": 1}]
    (run.path / "stats.jsonl").write_text('{"tick": 7}\n')
    assert tail.values() == [{"tick": 7}]


def test_a_run_whose_process_was_killed_is_gone(run: RunFolder) -> None:
    assert read_status(run.path).state == "starting"
    run.write_status(state="running", done=3, total=10)
    seen = read_status(run.path)
    assert (seen.kind, seen.state, seen.done, seen.total) == ("train", "running", 3, 10)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    run.write_status(state="running", pid=ended.pid)
    assert read_status(run.path).state == "gone"
    run.write_status(state="done", pid=ended.pid)
    assert read_status(run.path).state == "done"
    (run.path / "status.json").write_text("{")
    assert read_status(run.path).state == "starting"

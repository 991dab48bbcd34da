"""A launched command tells its folder, or why it failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from runs.launch import PROGRAM, LaunchedRun, launch


def test_a_launched_command_gives_its_folder_or_its_last_line(tmp_path: Path) -> None:
    assert PROGRAM.is_file()
    launched = launch(["convert", "--source", "nowhere.pkl", "--dest", "x.png"])
    launched.process.wait(timeout=60)
    assert launched.folder() is None
    assert "safetensors" in (launched.failure() or "")
    launched.output.unlink()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        output = tmp_path / "out.txt"
        output.write_text(f"{tmp_path}\nmore")
        running = LaunchedRun(process, output)
        assert running.folder() == tmp_path and running.failure() is None
        process.kill()

"""Starting a run as a detached process, and asking it to stop."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from runs.run_folder import RunFolder

PROGRAM = Path(__file__).resolve().parent.parent / "visualizer.py"


@dataclass
class LaunchedRun:
    """A started command; its output goes to a file, so it survives the process that started it."""

    process: subprocess.Popen[bytes]
    output: Path

    def folder(self) -> Path | None:
        """Return the run's folder, which the command prints first; None until then."""
        try:
            first, newline, _ = self.output.read_text(encoding="utf-8", errors="replace").partition("\n")
        except OSError:
            return None
        path = Path(first.strip())
        return path if newline and first.strip() and path.is_dir() else None

    def failure(self) -> str | None:
        """Return the last output line of a command that failed; None while it runs or if it succeeded."""
        if self.process.poll() in (None, 0):
            return None
        lines = [line for line in self.output.read_text(encoding="utf-8", errors="replace").splitlines() if line]
        return lines[-1] if lines else f"The command ended with status {self.process.returncode}."


def launch(arguments: Sequence[str]) -> LaunchedRun:
    """Start `visualizer.py` with these arguments, independent of this process's Ctrl-C and exit."""
    with tempfile.NamedTemporaryFile(prefix="bandlimit-run-", suffix=".txt", delete=False) as file:
        process = subprocess.Popen(
            [sys.executable, "-u", str(PROGRAM), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return LaunchedRun(process, Path(file.name))


def stop(folder: str | Path) -> None:
    """Ask a run to stop after its current step, keeping its state. Raises OSError."""
    RunFolder(folder).request(stop=True)

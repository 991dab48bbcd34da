"""Starting a run as a process of its own, which survives the one that started it, and asking it to stop."""

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
    """A command that was started; what it says goes to a file, so nothing breaks when the starter goes away."""

    process: subprocess.Popen[bytes]
    output: Path

    def folder(self) -> Path | None:
        """The run's folder, which the command prints first; None as long as it has not."""
        try:
            first, newline, _ = self.output.read_text(encoding="utf-8", errors="replace").partition("\n")
        except OSError:
            return None
        path = Path(first.strip())
        return path if newline and first.strip() and path.is_dir() else None

    def failure(self) -> str | None:
        """The last words of a command that ended badly; None while it runs or when it ended well."""
        if self.process.poll() in (None, 0):
            return None
        lines = [line for line in self.output.read_text(encoding="utf-8", errors="replace").splitlines() if line]
        return lines[-1] if lines else f"The command ended with status {self.process.returncode}."


def launch(arguments: Sequence[str]) -> LaunchedRun:
    """Start `visualizer.py` with these arguments, beyond the reach of this process's Ctrl-C and end."""
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
    """Ask a run to stop after the step it is at, keeping its state. Raises OSError."""
    RunFolder(folder).request(stop=True)

"""Writes what a soak test counted into docs/soak.md: one section each, with seed and commit."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "soak.md"
TITLE = "# Soak tests\n\nWritten by `make soak`; each section is replaced by the next run of its test.\n"


def record(section: str, seed: int, counts: Mapping[str, object], report: Path = REPORT) -> None:
    """Put the counts of one soak test into its own section of the report, in place of those of the run before."""
    lines = [
        f"## {section}",
        "",
        f"Seed {seed}, commit {commit()}, {time.strftime('%Y-%m-%d', time.gmtime())}.",
        "",
        "| what | count |",
        "| --- | --- |",
        *(f"| {name} | {value} |" for name, value in counts.items()),
    ]
    begin, end = f"<!-- soak: {section} -->", f"<!-- end of {section} -->"
    text = report.read_text(encoding="utf-8") if report.exists() else TITLE
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    block = "\n".join([begin, *lines, end])
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(f"{before.rstrip()}\n\n{block}\n{after.lstrip()}", encoding="utf-8")


def commit() -> str:
    """The commit that is checked out, with a plus where files differ from it."""
    told = subprocess.run(["git", "describe", "--always", "--dirty=+"], cwd=ROOT, capture_output=True, text=True)
    return told.stdout.strip() or "unknown"

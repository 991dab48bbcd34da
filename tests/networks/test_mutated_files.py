"""A damaged network file loads or is refused in one sentence: no crash, bounded memory, and nothing in it runs.

200 copies of each kind here; thousands in `make soak`, which runs the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from checkpoint_writers import TINY_FILES
from soak_mutations import KINDS, OUTCOMES, flat, one_sentence, soak, worker
from soak_report import record

ROUNDS = 200
SEED = 20240


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_load_or_are_refused_in_one_sentence(kind):
    result = soak(kind, ROUNDS, SEED)
    assert "crash" not in result, result["crash"]
    assert result["wrong"] == []
    assert result["ran"] == []
    counts = result["counts"]
    assert sum(counts.get(outcome, 0) for outcome in OUTCOMES) == ROUNDS
    # The damage has an effect, and not all of it is fatal.
    assert counts["broken"] > ROUNDS / 3
    assert counts["loaded"] > 0


@pytest.mark.soak
def test_ten_thousand_damaged_files_of_each_kind():
    results = [soak(kind, 10_000, SEED) for kind in KINDS]
    record("Damaged network files", SEED, flat(results))
    for result in results:
        assert "crash" not in result, result["crash"]
        assert result["wrong"] == []
        assert result["ran"] == []


def test_every_kind_of_file_is_among_them():
    assert set(KINDS) == set(TINY_FILES)


def test_the_audit_hook_sees_forbidden_events_and_memory(tmp_path):
    """The same audit hook, on code that does what no file may."""
    program = """
import json, os, sys
from soak_mutations import Watch, _peak, _reset_peak
watch = Watch()
before = _reset_peak()
watch.armed = True
eval("1 + 1")
open("canary", "w").close()
os.system("true")
import wave
block = bytearray(60 << 20)
watch.armed = False
memory = _peak() - before
print(json.dumps([watch.seen, memory]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    seen, memory = json.loads(done.stdout)
    events = " ".join(seen)
    for event in ("exec", "compile", "open for writing", "os.system", "import"):
        assert event in events
    if sys.platform == "linux":
        assert memory > 50 << 20


def test_one_sentence_is_distinguished_from_two():
    assert one_sentence("x.pkl is a network file, but it breaks off after 12 bytes; copy it again.", "x.pkl")
    assert not one_sentence("x.pkl is broken. Copy it again.", "x.pkl")
    assert not one_sentence("x.pkl is broken\nTraceback.", "x.pkl")
    assert not one_sentence("It is broken.", "x.pkl")


def test_a_worker_that_dies_is_noticed():
    assert worker("--worker", "no such kind").returncode != 0

"""Who may import whom, and what the window's process never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIGHT = {
    "renderer.messages",
    "renderer.transport.frames",
    "renderer.client",
    "renderer.transport.cuda_driver",
}  # of the renderer, what the window may import
OURS = {
    "session",
    "ops",
    "networks",
    "renderer",
    "video",
    "gui",
    "widgets",
    "cli",
    "data",
    "runs",
    "training",
    "metrics",
}
ATOMIC_WRITE = "session.atomic_write"  # imports nothing of ours, so that every package may use it
ALLOWED: dict[str, set[str]] = {  # package or module -> what of ours it may import
    "session": {"session"},
    "ops": {"ops", ATOMIC_WRITE},
    "networks": {"networks", "session.fields", "ops", ATOMIC_WRITE},
    "renderer.messages": {"session"},
    "renderer.transport.frames": {"session", "renderer.messages"},
    "renderer.transport.cuda_driver": set(),
    "renderer.renderer_process": {"renderer.transport.frames", "renderer.openmp_env"},
    "renderer.client": {"session", "renderer.messages", "renderer.transport.frames", "renderer.renderer_process"},
    "renderer": {"renderer", "session", "networks", "ops"},
    "data": {"data", "session.fields", ATOMIC_WRITE},
    "runs": {"runs", ATOMIC_WRITE},
    "training.config": {"training.presets", "session.fields"},
    "training": {"training", "session.fields", "networks", "ops", "data", "runs", ATOMIC_WRITE},
    "metrics": {"metrics", "session.fields", "networks", "ops", "data", "runs"},
    "video.encode": {ATOMIC_WRITE},
    "video": {"video", "session", "renderer"},
    "gui": {"gui", "session", "video.encode", *LIGHT},
    "widgets": {"widgets", "session", "renderer.messages", "gui.controls.ui", "gui.panel", "gui.commands"},
    "cli": OURS,
}
FILES = sorted(path for name in OURS for path in (ROOT / name).rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_place_in_the_house_allows(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    allowed = ALLOWED[max((name for name in ALLOWED if within(module, {name})), key=len)]
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        for name in imported(node):
            if name.split(".")[0] in OURS:
                assert within(name, allowed), f"{module} imports {name}"


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        inside = [f"{node.module}.{alias.name}" for alias in node.names]
        return [name if (ROOT / (name.replace(".", "/") + ".py")).exists() else node.module for name in inside]
    return []


def within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def test_the_window_starts_without_torch() -> None:
    ours = "gui.app, gui.backend.window, gui.backend.headless, widgets, renderer.client"
    code = f"import sys, {ours}; print({{'torch', 'cuda'}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_nothing_of_ours_runs_what_files_say() -> None:
    forbidden = {"eval", "exec"}
    for path in [*FILES, ROOT / "visualizer.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in forbidden | {"pickle.load", "pickle.loads"}, f"{path}: {called}"
            weights_only = [word.value for word in node.keywords if word.arg == "weights_only"]
            assert not any(isinstance(value, ast.Constant) and not value.value for value in weights_only), path
            assert called != "torch.load" or weights_only, f"{path}: torch.load without weights_only=True"

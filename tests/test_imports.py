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
ATOMIC_WRITE = "session.atomic_write"  # these two import nothing of ours, so that every package may use them
BOUNDED_READ = "session.bounded_read"
SNAPSHOT_NAMES = "runs.snapshot_names"  # imports nothing, so that whatever opens a run may use it
ALLOWED: dict[str, set[str]] = {  # package or module -> what of ours it may import
    "session": {"session"},
    "ops": {"ops", ATOMIC_WRITE},
    "networks": {"networks", "session.fields", "ops", ATOMIC_WRITE, SNAPSHOT_NAMES},
    "renderer.messages": {"session"},
    "renderer.transport.frames": {"session", "renderer.messages"},
    "renderer.transport.cuda_driver": set(),
    "renderer.renderer_process": {"renderer.transport.frames", "renderer.openmp_env"},
    "renderer.client": {"session", "renderer.messages", "renderer.transport.frames", "renderer.renderer_process"},
    "renderer": {"renderer", "session", "networks", "ops"},
    "data": {"data", "session.fields", ATOMIC_WRITE, BOUNDED_READ},
    "runs": {"runs", ATOMIC_WRITE, BOUNDED_READ},
    SNAPSHOT_NAMES: set(),
    "training.config": {"training.presets", "session.fields"},
    "training": {"training", "session.fields", "networks", "ops", "data", "runs", ATOMIC_WRITE, BOUNDED_READ},
    "metrics": {"metrics", "session.fields", "networks", "ops", "data", "runs"},
    "video.encode": {ATOMIC_WRITE},
    "video": {"video", "session", "renderer"},
    "gui": {"gui", "session", "video.encode", SNAPSHOT_NAMES, *LIGHT},
    "widgets": {
        "widgets",
        "session",
        "renderer.messages",
        SNAPSHOT_NAMES,
        "gui.controls.ui",
        "gui.panel",
        "gui.commands",
    },
    "cli": OURS,
}
FILES = sorted(path for name in OURS for path in (ROOT / name).rglob("*.py"))


# Groups of modules that name each other in imports at module level, all of them for type checking only (TYPE_CHECKING):
# when they are loaded there is no cycle. No others may; delete one here once it is gone.
KNOWN_CYCLES: list[set[str]] = [
    # App is both the window's state and its frame loop; the actions need the state.
    {"gui.actions", "gui.app"},
    # The paper's layers call their prepared forms, which are built from these layers.
    {
        "networks.architectures.stylegan2",
        "networks.architectures.stylegan3",
        "networks.inference.cuda_layer",
        "networks.inference.layer_constants",
        "networks.inference.prepared",
        "networks.inference.torch_layer",
    },
    # The pickle interpreter looks names up in the tables, whose constructors charge the interpreter's memory budget.
    {
        "networks.safe_pickle.allowlist",
        "networks.safe_pickle.interpreter",
        "networks.safe_pickle.tensor_constructors",
        "networks.safe_pickle.torch_save",
    },
    # These take the whole Training that owns them.
    {"training.loop", "training.run.reporting", "training.run.start", "training.run.training_state"},
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_place_in_the_house_allows(path: Path) -> None:
    module = module_name(path)
    allowed = ALLOWED[max((name for name in ALLOWED if within(module, {name})), key=len)]
    for node in ast.walk(ast.parse(path.read_text())):
        for name in imported_modules(node, path):
            if name.split(".")[0] in OURS:
                assert within(name, allowed), f"{module} imports {name}"


def test_only_the_listed_modules_import_each_other_in_a_cycle() -> None:
    imports = {module_name(path): module_level_imports(path) for path in FILES}
    new = [cycle for cycle in cycles(imports) if not any(cycle <= known for known in KNOWN_CYCLES)]
    assert not new, "\n".join(", ".join(sorted(cycle)) for cycle in new)


def test_relative_imports_and_cycles_are_seen() -> None:
    path, package = ROOT / "ops" / "kernels" / "cpu" / "loader.py", ROOT / "ops" / "kernels" / "__init__.py"
    for source, where, expected in (
        ("from . import build", path, ["ops.kernels.cpu.build"]),
        ("from ..cuda.driver import Context", path, ["ops.kernels.cuda.driver"]),
        ("from ... import backends", path, ["ops.backends"]),
        ("from .cpu import loader", package, ["ops.kernels.cpu.loader"]),
        ("from .. import describe", package, ["ops"]),
    ):
        assert imported_modules(ast.parse(source).body[0], where) == expected
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b", "a", "d"}, "d": {"e"}, "e": set()}) == [{"a", "b", "c"}]
    assert cycles({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported_modules(node: ast.AST, path: Path) -> list[str]:
    """The absolute names of the modules that an import statement in the file `path` names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    parts = [node.module] if node.module else []
    if node.level:  # one dot is the file's package, each further one that package's parent
        own = path.relative_to(ROOT).parts
        parts = [*own[: len(own) - node.level], *parts]
    module = ".".join(parts)
    names = [f"{module}.{alias.name}" for alias in node.names]
    return [*dict.fromkeys(name if is_module(name) else module for name in names)]


def is_module(name: str) -> bool:
    path = ROOT.joinpath(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def module_level_imports(path: Path) -> set[str]:
    """The modules that a file imports outside of functions, for type checking too."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    modules: set[str] = set()
    while waiting:
        node = waiting.pop()
        modules.update(imported_modules(node, path))
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return modules


def cycles(imports: dict[str, set[str]]) -> list[set[str]]:
    """The largest groups of modules that reach each other by imports."""

    def reachable(start: str) -> set[str]:
        found, waiting = set[str](), [start]
        while waiting:
            for name in imports.get(waiting.pop(), set()) - found:
                found.add(name)
                waiting.append(name)
        return found

    reach = {module: reachable(module) for module in imports}
    groups = {frozenset(other for other in reach[module] if module in reach.get(other, set())) for module in imports}
    return sorted((set(group) for group in groups if group), key=sorted)


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

"""The code speaks the field's terms: names that were replaced do not come back, and no room or file grows too full."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = Path(__file__).parent / "data" / "names"
PRODUCT = (
    "cli", "data", "gui", "metrics", "networks", "ops", "renderer", "runs", "session", "training", "video", "widgets"
)  # fmt: skip
OLD = frozenset((NAMES / "old_identifiers.txt").read_text().split())
MOST_FILES, MOST_LINES = 25, 400
MANY_ALIKE = {"widgets", "cli"}  # one panel or command a file


def sources(*suffixes: str) -> list[Path]:
    folders = [ROOT / name for name in (*PRODUCT, "benchmarks", "tools", "tests")]
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in suffixes)


@pytest.mark.parametrize("path", sources(".py"), ids=lambda path: str(path.relative_to(ROOT)))
def test_replaced_identifiers_do_not_come_back_in_python(path: Path) -> None:
    assert sorted(identifiers(ast.parse(path.read_text())) & OLD) == []


@pytest.mark.parametrize("path", sources(".h", ".cpp", ".cuh"), ids=lambda path: str(path.relative_to(ROOT)))
def test_replaced_identifiers_do_not_come_back_in_kernels(path: Path) -> None:
    code = re.sub(r"//[^\n]*", "", path.read_text())
    assert sorted(set(re.findall(r"[A-Za-z_]\w*", code)) & OLD) == []


def identifiers(tree: ast.AST) -> set[str]:
    """Every name that is defined or used; aliases of an import stand for others' names and are left out."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.arg, ast.keyword)) and node.arg:
            found.add(node.arg)
    return found


def test_files_keep_their_standard_names() -> None:
    old = (NAMES / "old_files.txt").read_text().split()
    assert [name for name in old if (ROOT / name).is_file()] == []


def test_no_folder_and_no_file_of_the_product_grows_too_full() -> None:
    files = [path for path in sources(".py", ".h", ".cpp", ".cuh") if path.relative_to(ROOT).parts[0] in PRODUCT]
    counts = Counter(path.parent.relative_to(ROOT) for path in files)
    assert [str(folder) for folder, n in counts.items() if n > MOST_FILES and str(folder) not in MANY_ALIKE] == []
    assert [str(path.relative_to(ROOT)) for path in files if len(path.read_text().splitlines()) > MOST_LINES] == []

"""Labels of images: class numbers or vectors, as in `dataset.json`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.errors import DatasetError
from data.label_matching import check_same_value

Label = int | tuple[float, ...]
Style = tuple[str, str]  # family and style of a typeface
_MAX_CLASSES = 1 << 16
_MAX_VECTOR_LENGTH = 1 << 16


def parse_labels(document: Any, path: Path) -> dict[str, Label] | None:
    """Parse `{"labels": [["a.png", 3], ...]}` to {name: label}; None if labels are null or missing.

    Raises DatasetError for another format, a mix of class numbers and vectors, or a name with two labels.
    """
    if document is None:
        return None
    if not isinstance(document, dict) or not isinstance(document.get("labels", []), list | type(None)):
        raise DatasetError(f'dataset.json of {path} should look like {{"labels": [["a.png", 3], ...]}}, but does not.')
    if not document.get("labels"):
        return None
    labels: dict[str, Label] = {}
    for item in document["labels"]:
        if not isinstance(item, list) or len(item) != 2 or not isinstance(item[0], str):
            raise DatasetError(f'dataset.json of {path} holds {str(item)[:60]} where ["a.png", 3] should be: mend it.')
        name, value = item
        label = _parse_label(name, value, path)
        check_same_value(name, labels.setdefault(name, label), label, path)
    kinds = {len(label) if isinstance(label, tuple) else -1 for label in labels.values()}
    if len(kinds) > 1:
        several = "class numbers and vectors" if -1 in kinds else "vectors of different lengths"
        raise DatasetError(f"dataset.json of {path} mixes {several}: give every picture the same kind of label.")
    return labels


def class_names(document: Any) -> tuple[str, ...]:
    """Return the class names in `dataset.json`, if any (our own addition to the format; other readers ignore it)."""
    names = document.get("classes") if isinstance(document, dict) else None
    return tuple(str(name) for name in names) if isinstance(names, list) else ()


def parse_styles(document: Any, path: Path) -> dict[str, Style]:
    """Parse `{"styles": [["a.png", "Roboto", "Bold"], ...]}` to {name: (family, style)} (also our own addition).

    Empty if there are none. Raises DatasetError for another format.
    """
    styles = document.get("styles") if isinstance(document, dict) else None
    if styles is None:
        return {}
    rows = styles if isinstance(styles, list) else [styles]
    for row in rows:
        if not (isinstance(row, list) and len(row) == 3 and all(isinstance(word, str) for word in row)):
            raise DatasetError(
                f'dataset.json of {path} holds {str(row)[:60]} where ["a.png", "family", "style"] should be: '
                'mend it, or remove its "styles".'
            )
    return {name: (family, style) for name, family, style in rows}


def align_labels(names: Sequence[str], labels: Mapping[str, Label], path: Path) -> np.ndarray:
    """Order labels like the images `names`: int64 [N] for class numbers, float32 [N,L] for vectors.

    Raises DatasetError if an image has none.
    """
    unlabeled = [name for name in names if name not in labels]
    if unlabeled:
        others = f" and {len(unlabeled) - 1} other pictures" if len(unlabeled) > 1 else ""
        raise DatasetError(
            f"dataset.json of {path} has no label for {unlabeled[0]}{others}: label all, or train without labels."
        )
    values = [labels[name] for name in names]
    return np.array(values, dtype=np.float32 if isinstance(values[0], tuple) else np.int64)


def empty_classes(labels: Iterable[Label | None]) -> list[int]:
    """Return the class numbers below the largest that no image has; none for vectors."""
    present = {label for label in labels if isinstance(label, int | np.integer)}
    return sorted(set(range(max(present, default=0))) - present)


def describe_empty_classes(empty: Sequence[int], path: Path | str) -> str:
    """Say in a sentence how many classes have no images, and which."""
    listed = ", ".join(map(str, empty[:8])) + (", ..." if len(empty) > 8 else "")
    have = "class has no picture" if len(empty) == 1 else "classes have no pictures"
    return f"{len(empty)} {have} in {path} ({listed}): number classes from 0 without gaps, or do not choose these."


def label_dim(labels: np.ndarray) -> int:
    """Length of a label as a network's input, where classes are one-hot."""
    return labels.shape[1] if labels.ndim == 2 else int(labels.max()) + 1


def one_hot(label: np.ndarray, size: int) -> np.ndarray:
    """Encode a class number as one-hot float32 [size]; a vector is returned as float32."""
    if label.ndim == 1:
        return label.astype(np.float32)
    row = np.zeros(size, np.float32)
    row[int(label)] = 1
    return row


def _parse_label(name: str, value: Any, path: Path) -> Label:
    if type(value) is float and value.is_integer():  # as pandas writes class numbers
        value = int(value)
    if type(value) is int:
        if 0 <= value < _MAX_CLASSES:
            return value
        raise DatasetError(
            f"dataset.json of {path} gives {name} the class {value}: number classes from 0, below 65536."
        )
    if isinstance(value, list) and 0 < len(value) <= _MAX_VECTOR_LENGTH:
        numbers = [part for part in value if type(part) in (int, float) and math.isfinite(part)]
        if len(numbers) == len(value):
            return tuple(float(part) for part in numbers)
    raise DatasetError(
        f"dataset.json of {path} labels {name} with {str(value)[:40]}: a label is a class number or a list of "
        "numbers, and classes are 0, 1, 2 and so on."
    )

"""Report of problems with the images of a source, as one table."""

from __future__ import annotations

from collections.abc import Sequence

from data.errors import one_line

_LABEL_NOTES = {
    "label with backslashes": "its label taken",
    "label in other letters": "its label taken",
    "label with another ending": "its label taken",
    "label with other folders": "its label taken",
    "label from a folder of another name": "its label taken",
    "label without a picture": "not used",
    "labels in a lower folder": "not used",
}
_NOTES = {  # reported, but no reason to leave an image out
    "turned upright",
    "stretched",
    "small capitals for lower case",
    *_LABEL_NOTES,
}
_ACTIONS = {
    "duplicate": "kept",
    "too small": "enlarged",
    "transparency": "laid over the background",
    "grey with transparency": "laid over the background",
    "turned upright": "as the camera was held",
    "stretched": "to a square",
    "lacks characters": "the others drawn",
    "capitals for lower case": "the others drawn",
    "too large beside the others": "the others drawn",
    "too many styles": "the others left out",
    "small capitals for lower case": "drawn",
    **_LABEL_NOTES,
}


def is_remark(kind: str) -> bool:
    """Whether a problem is only reported, and no reason to leave an image or font out."""
    return kind in _NOTES


class Report:
    """Counts and examples of each kind of problem, and what was written. noun: what is counted, in the plural."""

    def __init__(self, on_problem: str = "convert", noun: str = "pictures") -> None:
        self.on_problem, self.noun = on_problem, noun
        self.written = 0
        self.side = 0
        self.channels = 3
        self.classes: tuple[str, ...] = ()
        self.label_count = 0
        self.unlabeled = 0
        self.empty_classes: list[int] = []
        self.examples: dict[tuple[str, bool], list[str]] = {}  # kind, was it kept -> up to three examples
        self.counts: dict[tuple[str, bool], int] = {}

    @property
    def problems(self) -> int:
        """Number of problems that are not only remarks."""
        return sum(count for (kind, _), count in self.counts.items() if kind not in _NOTES)

    def accept(self, name: str, problems: Sequence[tuple[str, str]], usable: bool) -> bool:
        """Record the problems of an image; return whether it goes into the dataset."""
        serious = any(kind not in _NOTES for kind, _ in problems)
        kept = usable and not (serious and self.on_problem == "skip")
        for kind, detail in problems:
            key = (kind, kept)
            self.counts[key] = self.counts.get(key, 0) + 1
            examples = self.examples.setdefault(key, [])
            if len(examples) < 3:
                examples.append(one_line(f"{name} ({detail})" if detail else name))
        return kept

    def first_problem(self) -> str:
        """Return a sentence about the first problem; empty without one."""
        for (kind, _), examples in self.examples.items():
            return f" The first: {examples[0]}, {kind}."
        return ""

    def table(self) -> str:
        """Format a table with a row per kind of problem; empty without problems."""
        rows = [("problem", self.noun, "what was done", "for example")]
        for (kind, kept), count in sorted(self.counts.items()):
            done = _ACTIONS.get(kind, "converted") if kept else "left out"
            done = "refused" if self.on_problem == "refuse" and kind not in _NOTES else done
            rows.append((kind, str(count), done, ", ".join(self.examples[kind, kept])))
        if self.empty_classes:
            listed = ", ".join(map(str, self.empty_classes[:3]))
            rows.append(("class without pictures", str(len(self.empty_classes)), "counted all the same", listed))
        if self.unlabeled:
            rows.append(("no label", str(self.unlabeled), "all labels left out", ""))
        if len(rows) == 1:
            return ""
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:{widths[2]}}  {row[3]}".rstrip() for row in rows
        )

"""The document: the content of a session file, the unit of undo and of autosave."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from session.fields import FieldError, Range, Record
from session.scene import Scene


@dataclass(frozen=True)
class Session(Record):
    """The scenes, and which of them is on the canvas."""

    scenes: Annotated[tuple[Scene, ...], "The scenes"] = (Scene(),)
    active: Annotated[int, Range(0, 9999), "Which scene is on the canvas, from 0"] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.active < len(self.scenes):
            raise FieldError(f"active is {self.active}, but there are only {len(self.scenes)} scenes, counted from 0.")

    @property
    def scene(self) -> Scene:
        """The scene on the canvas."""
        return self.scenes[self.active]


def with_scene(session: Session, scene: Scene) -> Session:
    """Return the session with the active scene replaced."""
    scenes = session.scenes[: session.active] + (scene,) + session.scenes[session.active + 1 :]
    return replace(session, scenes=scenes)

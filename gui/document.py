"""The open document: its edit history and the clock that drives drifts.

An edit while the document moves first bakes the present moment into it, so the image on screen is what is edited, and
undo returns to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from session import Model, Scene, Session, history, timeline, with_scene
from session.field_paths import get_path, path_of, with_path


class Document:
    """A session with its history and clock."""

    def __init__(self, session: Session) -> None:
        self._history = history.History(session)
        self.time = 0.0  # seconds on the document's clock
        self.playing = True
        self._cached_scene = (session, 0.0, session.scene)  # session, time and their scene, computed once

    @property
    def session(self) -> Session:
        """The whole document at time 0."""
        return self._history.now

    @property
    def scene(self) -> Scene:
        """The scene on the canvas at the present time."""
        session, time, scene = self._cached_scene
        if session is not self.session or time != self.time:
            scene = timeline.scene_at(self.session, self.time)
            self._cached_scene = (self.session, self.time, scene)
        return scene

    @property
    def present(self) -> Session:
        """The whole document with the present moment baked in: what is saved."""
        return with_scene(self.session, self.scene)

    @property
    def is_moving(self) -> bool:
        """Whether the scene changes by itself now."""
        return self.playing and bool(timeline.is_moving(self.session.scene))

    @property
    def can_undo(self) -> bool:
        return bool(self._history.past)

    @property
    def can_redo(self) -> bool:
        return bool(self._history.future)

    def advance(self, seconds: float) -> None:
        """Advance the clock."""
        if self.is_moving:
            self.time += seconds

    def edit(self, scene: Scene, gesture: str | None = None) -> None:
        """Replace the scene on the canvas; edits of one gesture are one undo step."""
        if scene != self.scene:
            self.replace(with_scene(self.session, scene), gesture)

    def edit_slice(self, kind: type, value: Any, gesture: str | None = None) -> None:
        """Replace a part of the scene on the canvas (a Truncation, say), or all of it where `kind` is Scene."""
        path = path_of(kind)
        self.edit(with_path(self.scene, path, value) if path else value, gesture)

    def slice_of(self, kind: type) -> Any:
        """The part of the scene on the canvas that is of a type; the Scene itself for Scene."""
        path = path_of(kind)
        return get_path(self.scene, path) if path else self.scene

    def replace(self, session: Session, gesture: str | None = None) -> None:
        """Replace the whole document, as one undo step."""
        self._bake()
        self._history = history.edit(self._history, session, gesture)

    def end_gesture(self) -> None:
        """End the gesture, as at the release of the mouse button: the next edit is a new undo step."""
        self._history = history.end_gesture(self._history)

    def undo(self) -> None:
        """Undo one step. Redo returns to the moment on screen."""
        self._bake()
        self._history, self.time = history.undo(self._history), 0.0

    def redo(self) -> None:
        """Redo one step."""
        self._bake()
        self._history, self.time = history.redo(self._history), 0.0

    def withdraw_network(self, failed: Scene, shown: Scene) -> None:
        """Take a network that could not be opened out of document and history, as if it had never been asked for.

        Scenes with the model and device of `failed` return to those of `shown`, the scene on screen; other edits stay.
        """

        def restored(session: Session) -> Session:
            scene = session.scene
            if network_of(scene) != network_of(failed):
                return session
            return with_scene(session, with_network_of(scene, shown))

        self._bake()
        self._history = history.rewrite(self._history, restored)

    def stop_motion(self) -> None:
        """Stop all drifts at their present values; not an undo step."""
        self._bake()
        still = timeline.without_motion(self.session.scene)
        self._history = replace(self._history, now=with_scene(self.session, still))

    def _bake(self) -> None:
        """Write the present moment into the document. The scene on screen stays the same, so it is not an undo step."""
        if self.time:
            self._history, self.time = replace(self._history, now=self.present), 0.0


def network_of(scene: Scene) -> tuple[Model, str]:
    """What decides whether a network can be opened: the file, and the device."""
    return scene.model, scene.compute.device


def with_network_of(scene: Scene, shown: Scene) -> Scene:
    """The scene with the network, the device and all settings that only fit that network, of another scene."""
    latent = replace(scene.latent, class_index=shown.latent.class_index, projected=shown.latent.projected)
    mixing = replace(scene.mixing, class_index=shown.mixing.class_index)
    scene = replace(scene, model=shown.model, compute=shown.compute, capture=shown.capture)
    return replace(scene, latent=latent, mixing=mixing)

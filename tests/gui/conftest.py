"""The whole program off-screen: a real renderer, a real network, and a hand that clicks and types."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gui.app import App
from gui.backend.headless import Headless
from gui.testing.driver import UiDriver
from ops.kernels.cpu import build
from renderer.client import SubprocessRenderer
from session import Model, Scene, Session
from widgets import PANELS

NETWORKS = Path(__file__).parent.parent / "data" / "networks"
Open = Callable[..., "Driver"]


class Driver(UiDriver):
    """A hand with the app it works on."""

    @property
    def scene(self) -> Scene:
        return self.app.document.scene

    @property
    def picture(self):
        """Pixels of the canvas as they were rendered, uint8 [H, W, 4]."""
        result = self.app.views.canvas.result
        assert result is not None
        return result.frame.copy()

    @property
    def messages(self) -> list[str]:
        """The sentences that toasts say now."""
        return [toast.text for toast in self.app.toasts.shown]


@pytest.fixture(scope="session")
def renderer() -> Iterator[SubprocessRenderer]:
    """One renderer process for all tests of the window; none of them needs it fresh."""
    with SubprocessRenderer(threads=1) as client:
        yield client


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for settings; pictures go to `pictures` below it."""
    monkeypatch.chdir(tmp_path)
    # A renderer that is started anew finds the same kernel as the first one, so that it makes the same bits.
    monkeypatch.setenv("BANDLIMIT_CACHE", str(build.cache_folder().parent))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path / "settings"


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A small alias-free network in the published format."""
    return Path(shutil.copy(NETWORKS / "sg3t_64_uncond.pkl", tmp_path / "sg3t.pkl"))


@pytest.fixture
def other_network(tmp_path: Path) -> Path:
    """A small StyleGAN2."""
    return Path(shutil.copy(NETWORKS / "sg2_32_uncond.pkl", tmp_path / "sg2.pkl"))


@pytest.fixture
def start(renderer: SubprocessRenderer, home: Path) -> Iterator[Open]:
    """Starts the program: `start(session, width=..., height=..., panels=...)`; all are closed in the end."""
    opened: list[tuple[Headless, App]] = []

    def begin(session: Session | None = None, *, width: int = 1280, height: int = 800, panels=PANELS, **kw) -> Driver:
        screen = Headless(width, height)
        app = App(panels, renderer, session, folder=home, **kw)
        opened.append((screen, app))
        driver = Driver(screen, app)
        driver.frames(3)
        return driver

    yield begin
    for screen, app in reversed(opened):
        screen.make_current()
        app.close()
        screen.close()


@pytest.fixture
def app(start: Open, network: Path) -> Driver:
    """The program with a small network open and its picture on the canvas."""
    driver = start(Session((Scene(model=Model(path=str(network))),)))
    driver.wait_for_image(60)
    return driver

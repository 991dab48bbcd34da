"""What differs between Linux, Windows and macOS: folders, display servers, motion settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def config_folder() -> Path:
    """The folder of settings and autosaved session; $BANDLIMIT_HOME overrides the system's choice."""
    if chosen := os.environ.get("BANDLIMIT_HOME"):
        return expand_home(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming") / "Bandlimit"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Bandlimit"
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "bandlimit"


def pictures_folder() -> Path:
    """The default folder of saved images: Pictures/Bandlimit, or ./out where there is no Pictures folder."""
    pictures = Path.home() / "Pictures"
    return pictures / "Bandlimit" if is_folder(pictures) else Path("out")


def expand_home(path: str) -> Path:
    """Replace a leading ~ by the home folder; a ~ of an unknown user stays."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_folder(path: Path) -> bool:
    """Whether a path is a folder; False also where pathlib raises (no permission, name too long)."""
    try:
        return path.is_dir()
    except OSError:
        return False


def exists(path: Path) -> bool:
    """Whether a path exists; False also where pathlib raises (no permission, name too long)."""
    try:
        return path.exists()
    except OSError:
        return False


def working_folder() -> Path:
    """The current folder, or the home folder where the current one has been deleted."""
    try:
        return Path.cwd()
    except OSError:
        return Path.home()


def starting_folders() -> tuple[tuple[str, Path], ...]:
    """Named folders for the side of the file dialog, only those that exist."""
    home = Path.home()
    places = [("Home", home), ("Downloads", home / "Downloads"), ("Here", working_folder())]
    if sys.platform == "win32":
        places += [(f"{letter}:", Path(f"{letter}:\\")) for letter in "CDEFGH"]
    else:
        places += [("/", Path("/"))]
    return tuple((name, place) for name, place in places if is_folder(place))


def missing_display_reason() -> str:
    """Why no window can be opened here, as a sentence; "" where one may be tried."""
    if sys.platform in ("win32", "darwin") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
        return ""
    return "There is no display here (neither DISPLAY nor WAYLAND_DISPLAY is set)."


def prefers_reduced_motion() -> bool:
    """Whether the system's settings ask programs for reduced motion; False where that is unknown."""
    if sys.platform == "win32":
        import ctypes

        animated, question = ctypes.c_int(1), 0x1042  # SPI_GETCLIENTAREAANIMATION
        succeeded = ctypes.windll.user32.SystemParametersInfoW(question, 0, ctypes.byref(animated), 0)  # type: ignore[attr-defined]
        return bool(succeeded) and not animated.value
    question, answer = ["gsettings", "get", "org.gnome.desktop.interface", "enable-animations"], "false"
    if sys.platform == "darwin":
        question, answer = ["defaults", "read", "com.apple.universalaccess", "reduceMotion"], "1"
    if shutil.which(question[0]) is None:
        return False
    try:
        output = subprocess.run(question, capture_output=True, text=True, timeout=2, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    return output.strip() == answer


def prepare_window_gl() -> None:
    """Set PyOpenGL's platform for the window's context, before the first import of OpenGL.

    glfw speaks X11 only, on Wayland through XWayland; PyOpenGL would choose EGL there and find no context.
    """
    if sys.platform.startswith("linux"):
        os.environ["PYOPENGL_PLATFORM"] = "glx"


def prepare_offscreen_gl() -> None:
    """Set PyOpenGL's platform to EGL, before the first import of OpenGL."""
    if sys.platform.startswith("linux"):
        os.environ["PYOPENGL_PLATFORM"] = "egl"

"""What this machine offers, line by line: Python, torch, devices, kernels, window, the pictures' way, ffmpeg."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Sequence

from cli.flags import Parser


def main(arguments: Sequence[str]) -> int:
    Parser("visualizer.py doctor", description=__doc__).parse_args(arguments)
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("Python", lambda: f"{platform.python_version()} on {platform.platform()}"),
        ("torch", torch_version),
        ("devices", devices),
        ("kernels", kernels),
        ("packages", packages),
        ("window", window),
        ("off-screen", off_screen),
        ("pictures", views),
        ("video", video),
        ("settings", settings),
    )
    failed = 0
    for name, check in checks:
        try:
            line = check()
        except Exception as error:  # noqa: BLE001  (the other lines still help)
            failed += 1
            line = f"not working: {' '.join(str(error).split()) or type(error).__name__}"
        print(f"{name:11}{line}")
    return 1 if failed else 0


def torch_version() -> str:
    import torch

    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def devices() -> str:
    import torch

    names = ["cpu"] + [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return ", ".join(names + (["mps"] if torch.backends.mps.is_available() else []))


def kernels() -> str:
    import ops

    ops.kernels.load(wait=True)  # a background build would be cut off at exit
    return ops.describe()


def packages() -> str:
    names = ("numpy", "imgui-bundle", "glfw", "PyOpenGL", "pillow", "imageio-ffmpeg")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def window() -> str:
    from gui.platform_dirs import missing_display_reason

    if missing := missing_display_reason():
        return f"none: {missing}"
    from gui.backend.gl_context import HiddenContext

    context = HiddenContext()
    try:
        return opengl()
    finally:
        context.close()


def off_screen() -> str:
    from gui.backend.headless import Headless

    with Headless(64, 64):
        return opengl()


def opengl() -> str:
    """Return version and renderer of the current OpenGL context."""
    from OpenGL import GL

    version, renderer = (GL.glGetString(name) for name in (GL.GL_VERSION, GL.GL_RENDERER))
    return f"OpenGL {(version or b'').decode()}, {(renderer or b'').decode()}"


def views() -> str:
    """Return how frames get from the renderer to the window."""
    import torch

    from renderer.transport.cuda_driver import Driver, GpuError

    if not torch.cuda.is_available() or torch.version.cuda is None:
        return "through main memory (no NVIDIA GPU)"
    try:
        Driver(ordinal=0).close()
    except GpuError as error:
        return f"through main memory ({error})"
    return "on the GPU, if a test picture arrives when the program starts; the Performance panel says so"


def video() -> str:
    import imageio_ffmpeg

    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"


def settings() -> str:
    from gui.platform_dirs import config_folder

    return str(config_folder())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

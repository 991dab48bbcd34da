"""Time from the network to the texture: images that stay on the GPU against images through main memory."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks.gpu_timing import DEVICE
from benchmarks.networks import CASES, make_generator
from benchmarks.report import Section
from networks import save_networks
from networks.config import StyleGAN3Config
from renderer.messages import RendererLost, RenderFailure
from session import Compute, Latent, Model, Scene

TIMEOUT = 300.0  # seconds for one image, including the compilation of kernels
IMAGES_PER_TURN = 10  # images by one path before the other path has its turn
GPU, HOST = "on the GPU", "through main memory"


@dataclass
class _PathTimes:
    latency: list[float] = field(default_factory=list)  # seconds from the request to the image in the texture
    upload: list[float] = field(default_factory=list)  # the part of it that the window needed
    rendering: list[float] = field(default_factory=list)  # the part of it that the renderer reports


def frames(images: int, cases: dict[str, StyleGAN3Config] | None = None, timeout: float = TIMEOUT) -> Section:
    """Run a renderer process with an off-screen window. Without OpenGL, the section says so."""
    from gui.backend.base import ScreenError

    title = "From network to texture"
    try:
        from gui.backend.headless import Headless

        screen = Headless(64, 64, prefer_gpu=True)
    except (ScreenError, ImportError, OSError) as error:
        return Section(title, f"Not measured: {' '.join(str(error).split())}")
    rows: list[list[str]] = []
    notes: list[str] = []
    with screen, tempfile.TemporaryDirectory() as folder:
        from OpenGL import GL

        drawn = (GL.glGetString(GL.GL_RENDERER) or b"").decode(errors="replace")
        for name, config in (cases or {name: CASES[name].config for name in ("T 1024", "R 1024")}).items():
            file = save_networks(Path(folder) / "network.safetensors", {"G_ema": make_generator(config)})
            ways, line = _measure(file, images, timeout)
            notes.append(f"{name}: pictures came {line}.")
            for way, seen in ways.items():
                values = (seen.latency, seen.rendering, seen.upload)
                rows.append([name, way, *(f"{median(value) * 1e3:.2f}" if value else "not used" for value in values)])
    columns = "network", "pictures", "ms from request to texture", "ms rendering", "ms of the window's own"
    return Section(
        title,
        f"OpenGL off-screen on {drawn}; medians, {IMAGES_PER_TURN} pictures each way in turns.",
        columns,
        rows,
        notes,
    )


def _measure(file: Path, images: int, timeout: float) -> tuple[dict[str, _PathTimes], str]:
    """Time both paths, and return what the window reports about the path that it uses."""
    from gui.canvas.views import ViewManager
    from renderer.client import SubprocessRenderer

    problems: list[str] = []

    def on_problem(answer: RenderFailure | RendererLost) -> None:
        problems.append(answer.reason if isinstance(answer, RendererLost) else answer.message)

    scene = Scene(model=Model(path=str(file)), compute=Compute(device=DEVICE))
    paths, seeds = {GPU: _PathTimes(), HOST: _PathTimes()}, itertools.count()
    with SubprocessRenderer() as client:
        window = ViewManager(client, on_problem)

        def until(true: Callable[[], object]) -> None:
            end = time.monotonic() + timeout
            while not true():
                if problems or time.monotonic() > end:
                    raise RuntimeError(problems[0] if problems else f"No picture came within {timeout:.0f} s.")
                window.poll()

        def render(seed: int, way: _PathTimes | None) -> None:
            wanted = replace(scene, latent=Latent(seed=seed))
            began = time.perf_counter()
            window.request_canvas(wanted)
            until(lambda: window.canvas.result is not None and window.canvas.result.scene == wanted)
            result = window.canvas.result
            if way is None or result is None:
                return
            way.latency.append(time.perf_counter() - began)
            way.upload.append(window.meter.timings[-1]["upload"] / 1e3)
            way.rendering.append(result.timing["total"] / 1e3)
            if (result.gpu_frame is not None) != (way is paths[GPU]):
                raise RuntimeError("A picture took the other way than it was told to.")

        try:
            for _ in range(8):  # warm up: compile kernels, choose the path, record a graph
                render(next(seeds), None)
            line, device = window.interop.transport, window.interop.device
            for name in list(paths) * -(-images // IMAGES_PER_TURN):
                if device is None and name == GPU:
                    continue
                if device is not None and client.offer is not None and client.offer.test_frame is not None:
                    client.set_gpu_sharing(client.offer.test_frame.bus, name == GPU)
                for _ in range(IMAGES_PER_TURN):
                    render(next(seeds), paths[name])
        finally:
            window.close()
    return paths, line

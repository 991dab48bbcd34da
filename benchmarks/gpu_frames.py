"""From the network to the texture: pictures that stay on the GPU beside the same through main memory, in turns."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks.gpu_timing import DEVICE
from benchmarks.networks import CASES, make
from benchmarks.report import Section
from networks import save_networks
from networks.config import StyleGAN3Config
from renderer.messages import RendererLost, RenderFailure
from session import Compute, Latent, Model, Scene

PATIENCE = 300.0  # seconds for one picture, the first kernel's compilation included
TURN = 10  # pictures by one way before it is the other's turn
GPU, HOST = "on the GPU", "through main memory"


@dataclass
class _Way:
    latency: list[float] = field(default_factory=list)  # seconds from the request to the picture in the texture
    upload: list[float] = field(default_factory=list)  # of these, what the window itself needed
    rendering: list[float] = field(default_factory=list)  # and what the renderer says that it computed


def frames(views: int, cases: dict[str, StyleGAN3Config] | None = None, patience: float = PATIENCE) -> Section:
    """A renderer's process and a window's pictures, off-screen. Where there is no OpenGL, the section says so."""
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
            file = save_networks(Path(folder) / "network.safetensors", {"G_ema": make(config)})
            ways, line = _measure(file, views, patience)
            notes.append(f"{name}: pictures came {line}.")
            for way, seen in ways.items():
                values = (seen.latency, seen.rendering, seen.upload)
                rows.append([name, way, *(f"{median(value) * 1e3:.2f}" if value else "not used" for value in values)])
    columns = "network", "pictures", "ms from request to texture", "ms rendering", "ms of the window's own"
    return Section(
        title, f"OpenGL off-screen on {drawn}; medians, {TURN} pictures each way in turns.", columns, rows, notes
    )


def _measure(file: Path, views: int, patience: float) -> tuple[dict[str, _Way], str]:
    """Both ways, and what the window said of the way that it took."""
    from gui.canvas.views import ViewManager
    from renderer.client import OtherProcess

    told: list[str] = []

    def hear(answer: RenderFailure | RendererLost) -> None:
        told.append(answer.why if isinstance(answer, RendererLost) else answer.problem)

    scene = Scene(model=Model(path=str(file)), compute=Compute(device=DEVICE))
    ways, seeds = {GPU: _Way(), HOST: _Way()}, itertools.count()
    with OtherProcess() as client:
        window = ViewManager(client, hear)

        def until(true: Callable[[], object]) -> None:
            end = time.monotonic() + patience
            while not true():
                if told or time.monotonic() > end:
                    raise RuntimeError(told[0] if told else f"No picture came within {patience:.0f} s.")
                window.poll()

        def picture(seed: int, way: _Way | None) -> None:
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
            if (result.place is not None) != (way is ways[GPU]):
                raise RuntimeError("A picture took the other way than it was told to.")

        try:
            for _ in range(8):  # kernels are compiled, the way is decided, a graph is recorded
                picture(next(seeds), None)
            line, device = window.interop.transport, window.interop.device
            for name in list(ways) * -(-views // TURN):
                if device is None and name == GPU:
                    continue
                if device is not None and client.offer is not None and client.offer.place is not None:
                    client.share(client.offer.place.bus, name == GPU)
                for _ in range(TURN):
                    picture(next(seeds), ways[name])
        finally:
            window.close()
    return ways, line

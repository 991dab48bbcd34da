"""Messages between window and renderer: a request holds a scene, an answer an image or an error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from session import Scene


@dataclass(frozen=True)
class RenderRequest:
    """Render a scene for a view. Ids increase; only the newest request of a view is certain to be answered."""

    view: str
    id: int
    scene: Scene
    moving: bool = False  # the user is dragging: a preview is enough if the exact image is slow
    probe: tuple[int, int] | None = None  # pixel (x, y) of what is shown whose values are wanted, as reading "probe"


@dataclass(frozen=True)
class LayerInfo:
    """One layer of the network; sizes in samples."""

    name: str
    width: int
    height: int
    channels: int
    dtype: str  # "float32", "float16"
    rows: tuple[int, ...]  # rows of w+ that it reads
    sampling_rate: float | None = None  # samples per image width, alias-free networks
    cutoff: float | None = None  # designed cutoff, cycles per image width
    stopband: float | None = None  # end of the designed filter's transition band, cycles per image width


@dataclass(frozen=True)
class ModelInfo:
    """Properties of the loaded network."""

    path: str  # as written in the scene
    name: str  # short, for titles
    file: str  # the file that was read: e.g. the newest snapshot of a run folder, or a cached download
    digest: str  # SHA-256
    family: str  # "StyleGAN3-T", "StyleGAN3-R", "StyleGAN2"
    z_dim: int
    c_dim: int
    w_dim: int
    num_ws: int
    resolution: int
    channels: int
    parameters: int
    layers: tuple[LayerInfo, ...]
    row_names: tuple[str, ...]  # for each row of w+, the layers that read it
    has_noise: bool
    has_transform: bool
    device: str  # "cpu", "cuda:0"
    device_name: str  # "CPU, 2 threads", "NVIDIA H200"
    precision: str  # "float32", "mixed"
    kernels: str  # which implementation of the ops runs, and why
    channel_order: str  # "rgb" or "bgr"
    weights: tuple[str, ...]  # which of G_ema, G the file has
    note: str = ""  # a remark, e.g. "Random weights: not trained yet."
    classes: tuple[str, ...] = ()  # c_dim class names; empty if the file has none

    def class_name(self, number: int) -> str:
        """Return the name of a class, e.g. "lava", or "class 2" without names."""
        return self.classes[number] if number < len(self.classes) else f"class {number}"


@dataclass(frozen=True)
class MapStats:
    """Mean, standard deviation and maximum magnitude of a feature map: over all channels, and over those shown."""

    mean: float
    std: float
    max_abs: float
    shown_mean: float
    shown_std: float
    shown_max_abs: float


@dataclass(frozen=True)
class GpuFrameHandle:
    """A frame, uint8 [height, width, 4], in GPU memory, with the IPC handles by which another process opens it."""

    view: str
    block: int  # number of the memory block, never reused by the same renderer
    bus: str  # PCI bus id of the GPU
    height: int
    width: int
    memory_handle: bytes  # CUDA IPC handles, 64 bytes each: of the memory,
    ready_event: bytes  # of the event after which the frame is complete,
    done_event: bytes  # and of the event after which the window has copied it


@dataclass(frozen=True)
class GpuOffer:
    """Offers frames in GPU memory: a test frame (`frames.make_test_image`), or the reason why it is not possible."""

    test_frame: GpuFrameHandle | None
    reason: str = ""


@dataclass(frozen=True)
class RenderResult:
    """A rendered image. `frame` is uint8 [H, W, 4] RGBA, valid until the next result of its view is polled.

    If the window takes frames straight from the GPU, `gpu_frame` is its handle and `frame` is empty.
    """

    view: str
    id: int
    scene: Scene
    frame: np.ndarray
    model: ModelInfo
    stats: MapStats
    timing: Mapping[str, float]  # milliseconds by stage: "model", "mapping", "synthesis", "picture", "total"
    readings: Mapping[str, np.ndarray] = field(default_factory=dict)  # small arrays for plots by name, 64 KB at most
    shown_class: int | None = None  # class of the image, for a class-conditional network
    proposal: Scene | None = None  # a modified scene that the window may put into the document
    resumed_at: str = ""  # first stage that ran: "model", "mapping", a layer's name or "picture"; "" if none
    gpu_frame: GpuFrameHandle | None = None
    preview: bool = False  # an approximation, to be followed by the exact image

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the image."""
        return (
            (self.gpu_frame.height, self.gpu_frame.width)
            if self.gpu_frame
            else (self.frame.shape[0], self.frame.shape[1])
        )


@dataclass(frozen=True)
class RenderFailure:
    """Why there is no image: one sentence for the user, and the traceback to copy into a report."""

    view: str
    id: int
    scene: Scene
    message: str
    details: str = ""


@dataclass(frozen=True)
class RenderProgress:
    """Progress of a slow operation, e.g. a download; `fraction` from 0 to 1, or None if unknown."""

    view: str
    id: int
    message: str
    fraction: float | None = None


@dataclass(frozen=True)
class RendererLost:
    """The renderer's process has exited and is being restarted; the document is unaffected."""

    reason: str


Answer = RenderResult | RenderFailure | RenderProgress | RendererLost

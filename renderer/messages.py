"""What the window and the renderer say: a request is a slice of the document, an answer a picture or a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from session import Scene


@dataclass(frozen=True)
class RenderRequest:
    """Make the picture of a scene for a view. Ids grow; within a view only the newest request is answered for sure."""

    view: str
    id: int
    scene: Scene
    moving: bool = False  # a hand is at it: if the exact picture takes long, a preview will do


@dataclass(frozen=True)
class LayerInfo:
    """One layer of the network as it was last run."""

    name: str
    width: int
    height: int
    channels: int
    dtype: str  # "float32", "float16"
    rows: tuple[int, ...]  # rows of w that it reads
    sampling_rate: float | None = None  # samples per image width, alias-free networks
    cutoff: float | None = None  # designed cutoff, cycles per image width
    stopband: float | None = None  # where the designed filter ends, cycles per image width


@dataclass(frozen=True)
class ModelInfo:
    """Facts about the loaded network."""

    path: str  # as the scene names it
    name: str  # short, for the title
    file: str  # the very file that was read (newest snapshot of a run folder, cached download)
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
    row_names: tuple[str, ...]  # one for each row of w: which layers read it
    has_noise: bool
    has_transform: bool
    device: str  # "cpu", "cuda:0"
    device_name: str  # "CPU, 2 threads", "NVIDIA H200"
    precision: str  # "float32", "mixed"
    kernels: str  # which implementation of the ops runs, and why
    channel_order: str  # "rgb" or "bgr"
    weights: tuple[str, ...]  # which of G_ema, G the file has
    note: str = ""  # one sentence worth knowing, e.g. "random weights: not trained yet"
    classes: tuple[str, ...] = ()  # names of the classes, c_dim of them; empty where the file names none

    def class_name(self, number: int) -> str:
        """What a class is called: "lava", or "class 2" without names."""
        return self.classes[number] if number < len(self.classes) else f"class {number}"


@dataclass(frozen=True)
class MapStats:
    """Mean, standard deviation and largest magnitude of a captured map; of all channels and of those shown."""

    mean: float
    std: float
    max_abs: float
    shown_mean: float
    shown_std: float
    shown_max_abs: float


@dataclass(frozen=True)
class GpuFrameHandle:
    """A finished picture, uint8 [height, width, 4], in a GPU's memory, with what another process opens it by."""

    view: str
    block: int  # number of the memory, of which a renderer uses none twice
    bus: str  # PCI address of the GPU
    height: int
    width: int
    memory_handle: bytes  # handles of the driver, 64 bytes each: of the memory,
    ready_event: bytes  # of the event that the picture is there,
    done_event: bytes  # and of the event that the window has copied it


@dataclass(frozen=True)
class GpuOffer:
    """The renderer's pictures lie on a GPU: where a test picture (`frames.pattern`) does, or why that is in vain."""

    test_frame: GpuFrameHandle | None
    reason: str = ""


@dataclass(frozen=True)
class RenderResult:
    """A finished picture. `frame` is uint8 [H, W, 4] RGBA, valid until the next frame of the same view is taken.

    Where the window takes pictures straight from a GPU, `place` says where this one lies and `frame` is empty.
    """

    view: str
    id: int
    scene: Scene
    frame: np.ndarray
    model: ModelInfo
    stats: MapStats
    timing: Mapping[str, float]  # milliseconds a stage: "model", "mapping", "synthesis", "picture", "total"
    readings: Mapping[str, np.ndarray] = field(default_factory=dict)  # small named arrays for plots, 64 KB at most
    shown_class: int | None = None  # the class that made it, of a class-conditional network
    proposal: Scene | None = None  # a changed scene that the window may put into the document
    resumed_at: str = ""  # first stage that ran: "picture", a layer's name, "mapping", "model"; "" when nothing had to
    gpu_frame: GpuFrameHandle | None = None
    preview: bool = False  # nearly the picture of this scene, to be followed by the exact one

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return (
            (self.gpu_frame.height, self.gpu_frame.width)
            if self.gpu_frame
            else (self.frame.shape[0], self.frame.shape[1])
        )


@dataclass(frozen=True)
class RenderFailure:
    """Why there is no picture: one sentence for the person, the traceback to copy."""

    view: str
    id: int
    scene: Scene
    message: str
    details: str = ""


@dataclass(frozen=True)
class RenderProgress:
    """Something slow is under way, e.g. a download; `fraction` from 0 to 1, or None where it is not known."""

    view: str
    id: int
    message: str
    fraction: float | None = None


@dataclass(frozen=True)
class RendererLost:
    """The renderer's process ended by itself and a new one is being started; nothing of the document is lost."""

    reason: str


Answer = RenderResult | RenderFailure | RenderProgress | RendererLost

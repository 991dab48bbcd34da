"""Which network a scene means: opened once, kept while somebody looks at it, and described for the window."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from networks.api import DEMO
from networks.architectures.layerwise import Step
from networks.architectures.stylegan3 import SynthesisNetwork as AliasFree
from networks.checkpoints.checkpoint import Generator, LoadedCheckpoint, load_network
from networks.checkpoints.contents import Role
from networks.checkpoints.download import discard_damaged, is_url
from networks.checkpoints.resolve_source import resolve_source
from networks.errors import CheckpointError, sanitize
from networks.inference.cuda_graphs import CudaGraphCache
from ops import image_allocator
from renderer.errors import RenderError
from renderer.messages import ModelInfo
from renderer.models.downloads import Downloads
from renderer.stages.latents import LatentMapper
from session import Compute, Model, Scene

MAX_MODELS = 3  # networks in memory, unless more views each show their own
RETRY_SECONDS = 5.0  # seconds after which a URL that failed is tried again; what came and was no use waits for `reload`

OnProgress = Callable[[str, float | None], None]  # what is under way, and how far it is (0 to 1)
FileSignature = tuple[str, int, int]  # file, time of change, size: what a file was when it was read


@dataclass(frozen=True)
class ModelKey:
    """What decides whether a network has to be loaded."""

    path: str
    weights: str
    device: str


@dataclass(eq=False)
class LoadedModel:
    """A network on its device, ready to run, with what is remembered about it."""

    network: Generator
    file: LoadedCheckpoint
    signature: FileSignature | None
    weights: str  # "G_ema" or "G": which one it is
    available_weights: tuple[str, ...]  # of these, what the file has
    device: torch.device
    latents: LatentMapper
    layer_seconds: list[float] = field(default_factory=list)  # seconds that each step took; empty: not measured yet
    cached_layers: frozenset[int] | None = None  # after how many steps what comes out is kept; None: not decided
    cache_budget: int | None = None  # bytes for what is kept; None: not decided
    preview: LoadedModel | None = (
        None  # the quicker network of networks/inference/half_rate_preview.py, once it was wanted
    )
    infos: dict[tuple[Model, bool, str, str], ModelInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graphs = CudaGraphCache(self.network.synthesis)

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.network.synthesis.steps

    @property
    def has_transform(self) -> bool:
        """Whether the network can be moved at its input."""
        return isinstance(self.network.synthesis, AliasFree)

    @property
    def has_noise(self) -> bool:
        return bool(getattr(self.network.config, "use_noise", False))

    def channel_order(self, model: Model) -> str:
        """Of the pictures that the network makes: what the scene says, or else the file."""
        return self.file.channel_order if model.channel_order == "auto" else model.channel_order


@dataclass(frozen=True)
class _Failure:
    signature: FileSignature | None
    error: CheckpointError
    time: float

    def should_not_retry(self) -> bool:
        """Whether a URL is not worth another try yet."""
        return self.error.kind in ("broken", "foreign") or time.monotonic() - self.time < RETRY_SECONDS


class ModelCache:
    """The networks in memory.

    A view keeps the network it shows, whatever becomes of the file. The file is looked at again when a view turns to
    another network and back, and on `reload`; if it has changed since, it is read again.
    """

    def __init__(self) -> None:
        self._loaded: OrderedDict[ModelKey, LoadedModel] = OrderedDict()  # the one used last is at the end
        self._view_keys: dict[str, ModelKey] = {}
        self._failed: dict[ModelKey, _Failure] = {}
        self._downloads = Downloads()

    def get(self, scene: Scene, view: str, tell: OnProgress) -> LoadedModel:
        """The network of a scene. Raises CheckpointError or Problem, and then what was loaded still is."""
        wish = ModelKey(scene.model.path, scene.model.weights, resolve_device(scene.compute))
        held = self._loaded.get(wish)
        if held is None or self._view_keys.get(view) != wish:
            held = self._revalidate(wish, view, held, tell)
        self._view_keys[view] = wish
        self._loaded[wish] = held
        self._loaded.move_to_end(wish)
        self._evict()
        return held

    def reload(self, path: str) -> None:
        """Look at the file of this path again when it is next asked for."""
        self._view_keys = {view: wish for view, wish in self._view_keys.items() if wish.path != path}
        self._failed = {wish: failure for wish, failure in self._failed.items() if wish.path != path}

    def release_view(self, view: str) -> None:
        """The view shows nothing any more."""
        self._view_keys.pop(view, None)

    def evict_unused(self) -> None:
        """Let go of every network that no view is showing."""
        self._evict(0)
        for loaded in self._loaded.values():
            loaded.graphs.clear()
            loaded.preview = None
        image_allocator.release()

    def close(self) -> None:
        """Break off downloads that are under way."""
        self._downloads.close()

    def _revalidate(self, wish: ModelKey, view: str, held: LoadedModel | None, tell: OnProgress) -> LoadedModel:
        """The network as its file is now. If that cannot be read any more, it is said once, and what is held serves."""
        try:
            stamp = _file_signature(wish.path)
            if held is not None and stamp in (None, held.signature):
                return held
            failed = self._failed.get(wish)
            if failed is not None and failed.signature == stamp and (stamp or failed.should_not_retry()):
                raise failed.error
            return self._load(wish, stamp, tell)
        except CheckpointError as error:
            if held is not None:
                self._view_keys[view] = wish
            elif wish not in self._failed or self._failed[wish].error is not error:
                discard_damaged(wish.path, error)
                self._failed[wish] = _Failure(_file_signature(wish.path), error, time.monotonic())
            raise

    def _load(self, wish: ModelKey, stamp: FileSignature | None, tell: OnProgress) -> LoadedModel:
        name = sanitize(short_name(wish.path))
        source: str | Path = wish.path or DEMO
        if is_url(wish.path):
            source = self._downloads.get(wish.path, lambda fraction: tell(f"Downloading {name}", fraction))
        tell(f"Opening {name}", None)
        wanted: tuple[Role, ...] = ("G", "G_ema") if wish.weights == "G" else ("G_ema", "G")
        try:
            network = load_network(source, device=wish.device, first_of=wanted)
        except CheckpointError as error:
            if error.kind != "memory" or len(self._loaded) <= len(set(self._view_keys.values())):
                raise
            self.evict_unused()
            network = load_network(source, device=wish.device, first_of=wanted)
        generator = network.generator
        weights = "G_ema" if network.G_ema is not None else "G"
        choices = tuple(role for role in ("G_ema", "G") if role in network.roles)
        self._failed.pop(wish, None)
        return LoadedModel(
            generator, network, stamp, weights, choices, torch.device(wish.device), LatentMapper(generator)
        )

    def _evict(self, kept: int = MAX_MODELS) -> None:
        """Drop the networks that were not used for longest, but none that a view is showing."""
        for wish in [wish for wish in self._loaded if wish not in self._view_keys.values()]:
            if len(self._loaded) <= kept:
                return
            del self._loaded[wish]


def resolve_device(compute: Compute) -> str:
    """The device that is meant, "cpu", "cuda:0" or "mps". Raises Problem where there is none of that name."""
    name = compute.device.strip().lower()
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    apple = torch.backends.mps.is_available()
    if name == "auto":
        return "cuda:0" if gpus else "mps" if apple else "cpu"
    kind, _, number = name.partition(":")
    if kind == "cuda" and (number or "0").isdecimal():
        if int(number or 0) < gpus:
            return f"cuda:{int(number or 0)}"
        raise RenderError(f"There is no device {name}: torch finds {gpus} NVIDIA GPUs here; choose auto or cpu.")
    if name == "cpu" or (name == "mps" and apple):
        return name
    if name == "mps":
        raise RenderError("There is no device mps: this is no Mac with Apple's own chip; choose auto or cpu.")
    raise RenderError(f"There is no device {compute.device!r}: choose auto, cpu, cuda, cuda:1 or mps.")


def short_name(path: str) -> str:
    """What a network is called in titles and messages."""
    last = path.split("#")[0].rstrip("/").replace("\\", "/").rpartition("/")[2]
    return (Path(last).stem if "." in last else last) or "demo"


def _file_signature(path: str) -> FileSignature | None:
    """What the file is now; None for a URL, and where there is none."""
    if is_url(path):
        return None
    try:
        file = resolve_source(path or DEMO)[0]
        facts = file.stat()
    except (OSError, ValueError, CheckpointError):
        return None
    return str(file), facts.st_mtime_ns, facts.st_size

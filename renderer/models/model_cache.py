"""Cache of loaded networks: each is loaded once and kept while a view shows it."""

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

MAX_MODELS = 3  # in memory at once, unless more are shown
RETRY_SECONDS = 5.0  # before a failed download is retried; files that cannot be read wait for `reload`

OnProgress = Callable[[str, float | None], None]  # gets a message and a fraction from 0 to 1, if known
FileSignature = tuple[str, int, int]  # path, modification time and size of a file when it was read


@dataclass(frozen=True)
class ModelKey:
    """Cache key of a network."""

    path: str
    weights: str
    device: str


@dataclass(eq=False)
class LoadedModel:
    """A network on its device, ready to run, with measurements and caches that belong to it."""

    network: Generator
    file: LoadedCheckpoint
    signature: FileSignature | None
    weights: str  # "G_ema" or "G"
    available_weights: tuple[str, ...]  # which of them the file has
    device: torch.device
    latents: LatentMapper
    layer_seconds: list[float] = field(default_factory=list)  # by step; empty until measured
    cached_layers: frozenset[int] | None = (
        None  # numbers of steps after which the state is cached; None: not chosen yet
    )
    cache_budget: int | None = None  # bytes for cached states; None: not determined yet
    preview: LoadedModel | None = None  # made by renderer/preview_policy.py when first needed
    infos: dict[tuple[Model, bool, str, str], ModelInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.graphs = CudaGraphCache(self.network.synthesis)

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.network.synthesis.steps

    @property
    def has_transform(self) -> bool:
        """Whether the network's input can be transformed (alias-free networks)."""
        return isinstance(self.network.synthesis, AliasFree)

    @property
    def has_noise(self) -> bool:
        return bool(getattr(self.network.config, "use_noise", False))

    def channel_order(self, model: Model) -> str:
        """Return the channel order of the network's images: the scene's setting, or for "auto" the file's."""
        return self.file.channel_order if model.channel_order == "auto" else model.channel_order


@dataclass(frozen=True)
class _Failure:
    signature: FileSignature | None
    error: CheckpointError
    time: float

    def should_not_retry(self) -> bool:
        """Whether it is too early, or pointless, to try a URL again."""
        return self.error.kind in ("broken", "foreign") or time.monotonic() - self.time < RETRY_SECONDS


class ModelCache:
    """The networks in memory; the least recently used are evicted first.

    A view keeps the network it shows even if the file changes or disappears. The file is checked for changes when a
    view switches to the network, and after `reload`.
    """

    def __init__(self) -> None:
        self._loaded: OrderedDict[ModelKey, LoadedModel] = OrderedDict()  # least recently used first
        self._view_keys: dict[str, ModelKey] = {}
        self._failed: dict[ModelKey, _Failure] = {}
        self._downloads = Downloads()

    def get(self, scene: Scene, view: str, on_progress: OnProgress) -> LoadedModel:
        """Return the network of a scene, loading it if necessary.

        Raises CheckpointError or RenderError; the networks already in memory are then unchanged.
        """
        key = ModelKey(scene.model.path, scene.model.weights, resolve_device(scene.compute))
        current = self._loaded.get(key)
        if current is None or self._view_keys.get(view) != key:
            current = self._revalidate(key, view, current, on_progress)
        self._view_keys[view] = key
        self._loaded[key] = current
        self._loaded.move_to_end(key)
        self._evict()
        return current

    def reload(self, path: str) -> None:
        """Check the file at this path for changes at its next use."""
        self._view_keys = {view: key for view, key in self._view_keys.items() if key.path != path}
        self._failed = {key: failure for key, failure in self._failed.items() if key.path != path}

    def release_view(self, view: str) -> None:
        """Note that a view has been closed."""
        self._view_keys.pop(view, None)

    def evict_unused(self) -> None:
        """Evict all networks that no view shows, and free the caches of the others."""
        self._evict(0)
        for loaded in self._loaded.values():
            loaded.graphs.clear()
            loaded.preview = None
        image_allocator.release()

    def close(self) -> None:
        """Stop the downloads in progress."""
        self._downloads.close()

    def _revalidate(
        self, key: ModelKey, view: str, current: LoadedModel | None, on_progress: OnProgress
    ) -> LoadedModel:
        """Return the network, loaded again if its file has changed.

        If the file can no longer be read, this raises once; later calls return `current`.
        """
        try:
            signature = _file_signature(key.path)
            if current is not None and signature in (None, current.signature):
                return current
            failed = self._failed.get(key)
            if failed is not None and failed.signature == signature and (signature or failed.should_not_retry()):
                raise failed.error
            return self._load(key, signature, on_progress)
        except CheckpointError as error:
            if current is not None:
                self._view_keys[view] = key
            elif key not in self._failed or self._failed[key].error is not error:
                discard_damaged(key.path, error)
                self._failed[key] = _Failure(_file_signature(key.path), error, time.monotonic())
            raise

    def _load(self, key: ModelKey, signature: FileSignature | None, on_progress: OnProgress) -> LoadedModel:
        name = sanitize(short_name(key.path))
        source: str | Path = key.path or DEMO
        if is_url(key.path):
            source = self._downloads.get(key.path, lambda fraction: on_progress(f"Downloading {name}", fraction))
        on_progress(f"Opening {name}", None)
        roles: tuple[Role, ...] = ("G", "G_ema") if key.weights == "G" else ("G_ema", "G")
        try:
            network = load_network(source, device=key.device, first_of=roles)
        except CheckpointError as error:
            if error.kind != "memory" or len(self._loaded) <= len(set(self._view_keys.values())):
                raise
            self.evict_unused()
            network = load_network(source, device=key.device, first_of=roles)
        generator = network.generator
        weights = "G_ema" if network.G_ema is not None else "G"
        available = tuple(role for role in ("G_ema", "G") if role in network.roles)
        self._failed.pop(key, None)
        return LoadedModel(
            generator, network, signature, weights, available, torch.device(key.device), LatentMapper(generator)
        )

    def _evict(self, max_models: int = MAX_MODELS) -> None:
        """Evict the least recently used networks beyond `max_models`, but none that a view shows."""
        for key in [key for key in self._loaded if key not in self._view_keys.values()]:
            if len(self._loaded) <= max_models:
                return
            del self._loaded[key]


def resolve_device(compute: Compute) -> str:
    """Return the torch device name, e.g. "cpu", "cuda:0" or "mps". Raises RenderError if there is no such device."""
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
    """Return a network's name for titles and messages."""
    name = path.split("#")[0].rstrip("/").replace("\\", "/").rpartition("/")[2]
    return (Path(name).stem if "." in name else name) or "demo"


def _file_signature(path: str) -> FileSignature | None:
    """Return the file's current signature; None for a URL or a missing file."""
    if is_url(path):
        return None
    try:
        file = resolve_source(path or DEMO)[0]
        stat = file.stat()
    except (OSError, ValueError, CheckpointError):
        return None
    return str(file), stat.st_mtime_ns, stat.st_size

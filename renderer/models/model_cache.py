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
from renderer.errors import Problem
from renderer.messages import ModelInfo
from renderer.models.downloads import Downloads
from renderer.stages.latents import Latents
from session import Compute, Model, Scene

KEPT = 3  # networks in memory, unless more views each show their own
RETRY = 5.0  # seconds after which a URL that failed is tried again; what came and was no use waits for `reload`

Tell = Callable[[str, float | None], None]  # what is under way, and how far it is (0 to 1)
Stamp = tuple[str, int, int]  # file, time of change, size: what a file was when it was read


@dataclass(frozen=True)
class Wish:
    """What decides whether a network has to be loaded."""

    path: str
    weights: str
    device: str


@dataclass(eq=False)
class Loaded:
    """A network on its device, ready to run, with what is remembered about it."""

    network: Generator
    file: LoadedCheckpoint
    stamp: Stamp | None
    weights: str  # "G_ema" or "G": which one it is
    choices: tuple[str, ...]  # of these, what the file has
    device: torch.device
    latents: Latents
    costs: list[float] = field(default_factory=list)  # seconds that each step took; empty: not measured yet
    keep: frozenset[int] | None = None  # after how many steps what comes out is kept; None: not decided
    budget: int | None = None  # bytes for what is kept; None: not decided
    preview: Loaded | None = None  # the quicker network of networks/inference/half_rate_preview.py, once it was wanted
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
    stamp: Stamp | None
    error: CheckpointError
    when: float

    def lasts(self) -> bool:
        """Whether a URL is not worth another try yet."""
        return self.error.kind in ("broken", "foreign") or time.monotonic() - self.when < RETRY


class Models:
    """The networks in memory.

    A view keeps the network it shows, whatever becomes of the file. The file is looked at again when a view turns to
    another network and back, and on `reload`; if it has changed since, it is read again.
    """

    def __init__(self) -> None:
        self._loaded: OrderedDict[Wish, Loaded] = OrderedDict()  # the one used last is at the end
        self._shown: dict[str, Wish] = {}
        self._failed: dict[Wish, _Failure] = {}
        self._downloads = Downloads()

    def get(self, scene: Scene, view: str, tell: Tell) -> Loaded:
        """The network of a scene. Raises CheckpointError or Problem, and then what was loaded still is."""
        wish = Wish(scene.model.path, scene.model.weights, device_of(scene.compute))
        held = self._loaded.get(wish)
        if held is None or self._shown.get(view) != wish:
            held = self._look_again(wish, view, held, tell)
        self._shown[view] = wish
        self._loaded[wish] = held
        self._loaded.move_to_end(wish)
        self._let_go()
        return held

    def reload(self, path: str) -> None:
        """Look at the file of this path again when it is next asked for."""
        self._shown = {view: wish for view, wish in self._shown.items() if wish.path != path}
        self._failed = {wish: failure for wish, failure in self._failed.items() if wish.path != path}

    def leave(self, view: str) -> None:
        """The view shows nothing any more."""
        self._shown.pop(view, None)

    def forget(self) -> None:
        """Let go of every network that no view is showing."""
        self._let_go(0)
        for loaded in self._loaded.values():
            loaded.graphs.clear()
            loaded.preview = None
        image_allocator.release()

    def close(self) -> None:
        """Break off downloads that are under way."""
        self._downloads.close()

    def _look_again(self, wish: Wish, view: str, held: Loaded | None, tell: Tell) -> Loaded:
        """The network as its file is now. If that cannot be read any more, it is said once, and what is held serves."""
        try:
            stamp = _stamp(wish.path)
            if held is not None and stamp in (None, held.stamp):
                return held
            failed = self._failed.get(wish)
            if failed is not None and failed.stamp == stamp and (stamp or failed.lasts()):
                raise failed.error
            return self._load(wish, stamp, tell)
        except CheckpointError as error:
            if held is not None:
                self._shown[view] = wish
            elif wish not in self._failed or self._failed[wish].error is not error:
                discard_damaged(wish.path, error)
                self._failed[wish] = _Failure(_stamp(wish.path), error, time.monotonic())
            raise

    def _load(self, wish: Wish, stamp: Stamp | None, tell: Tell) -> Loaded:
        name = sanitize(short_name(wish.path))
        source: str | Path = wish.path or DEMO
        if is_url(wish.path):
            source = self._downloads.get(wish.path, lambda fraction: tell(f"Downloading {name}", fraction))
        tell(f"Opening {name}", None)
        wanted: tuple[Role, ...] = ("G", "G_ema") if wish.weights == "G" else ("G_ema", "G")
        try:
            network = load_network(source, device=wish.device, first_of=wanted)
        except CheckpointError as error:
            if error.kind != "memory" or len(self._loaded) <= len(set(self._shown.values())):
                raise
            self.forget()
            network = load_network(source, device=wish.device, first_of=wanted)
        generator = network.generator
        weights = "G_ema" if network.G_ema is not None else "G"
        choices = tuple(role for role in ("G_ema", "G") if role in network.roles)
        self._failed.pop(wish, None)
        return Loaded(generator, network, stamp, weights, choices, torch.device(wish.device), Latents(generator))

    def _let_go(self, kept: int = KEPT) -> None:
        """Drop the networks that were not used for longest, but none that a view is showing."""
        for wish in [wish for wish in self._loaded if wish not in self._shown.values()]:
            if len(self._loaded) <= kept:
                return
            del self._loaded[wish]


def device_of(compute: Compute) -> str:
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
        raise Problem(f"There is no device {name}: torch finds {gpus} NVIDIA GPUs here; choose auto or cpu.")
    if name == "cpu" or (name == "mps" and apple):
        return name
    if name == "mps":
        raise Problem("There is no device mps: this is no Mac with Apple's own chip; choose auto or cpu.")
    raise Problem(f"There is no device {compute.device!r}: choose auto, cpu, cuda, cuda:1 or mps.")


def short_name(path: str) -> str:
    """What a network is called in titles and messages."""
    last = path.split("#")[0].rstrip("/").replace("\\", "/").rpartition("/")[2]
    return (Path(last).stem if "." in last else last) or "demo"


def _stamp(path: str) -> Stamp | None:
    """What the file is now; None for a URL, and where there is none."""
    if is_url(path):
        return None
    try:
        file = resolve_source(path or DEMO)[0]
        facts = file.stat()
    except (OSError, ValueError, CheckpointError):
        return None
    return str(file), facts.st_mtime_ns, facts.st_size

"""StyleGAN3 and StyleGAN2 in two lines of Python: open a network by path or URL, and generate images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self, cast

import torch
from torch import Tensor

from networks import class_names
from networks.checkpoints.checkpoint import Generator, LoadedCheckpoint, check_device, load_network
from networks.checkpoints.contents import ChannelOrder
from networks.checkpoints.download import Progress
from networks.errors import CheckpointError, sanitize
from networks.sampling import NUM_SEEDS, draw_latents, seeded_noise, to_class_vectors

Classes = Tensor | Sequence[int | str] | int | str

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo.safetensors"
DEMO_STYLEGAN2 = DEMO.with_name("demo-sg2.safetensors")


class _Model:
    """The part of StyleGAN3 and StyleGAN2 that does not depend on the family."""

    family: ClassVar[str]
    demo: ClassVar[Path]  # the network of this family that comes with the program

    def __init__(
        self,
        source: str | Path | None = None,
        *,
        device: str | torch.device = "cpu",
        channel_order: ChannelOrder | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Open a network from a path, URL or run folder; without a source, the demo network.

        The options are those of `load_network`. Raises CheckpointError where it cannot be read or is of the other
        family, ValueError for an unknown device.
        """
        self.network: LoadedCheckpoint = load_network(
            self.demo if source is None else source, device=device, channel_order=channel_order, progress=progress
        )
        self.G: Generator = self.network.generator
        if not self.network.family.startswith(self.family):
            raise CheckpointError(
                f"{sanitize(self.network.path.name)} is a {self.network.family} network; open it with "
                f"{self.network.family.partition('-')[0]}(...) instead of {self.family}(...).",
                "foreign",
            )

    @property
    def device(self) -> torch.device:
        """The device of the generator."""
        return next(self.G.parameters()).device

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes; empty where the file has none."""
        return self.network.classes

    def to(self, device: str | torch.device) -> Self:
        """Move the generator to another device. Raises ValueError for one that this machine does not have."""
        self.G.to(check_device(device))
        return self

    @torch.no_grad()
    def generate(
        self,
        batch_size: int = 1,
        *,
        seed: int = 0,
        z: Tensor | None = None,
        c: Classes | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: str = "const",
    ) -> Tensor:
        """Generate images [N, C, H, W] float32 in [-1, 1], with channels in RGB order.

        Without `z` [N, z_dim], image k is that of seed + k: the seed draws z and, unless `c` is given, then a class.
        `c` holds class indices or names [N], one for all, or one-hot or soft rows [N, c_dim]. With noise_mode "random",
        the noise of image k is drawn from seed + k too. Raises ValueError for arguments that do not match the network.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be 1 or more.")
        count = batch_size if z is None else z.shape[0]
        seeds = [(seed + k) % NUM_SEEDS for k in range(count)]
        if z is None:
            z, drawn = draw_latents(seeds, self.G.z_dim, self.G.c_dim)
            c = drawn if c is None else c
        w = self.map(z, c, truncation_psi=truncation_psi, truncation_cutoff=truncation_cutoff)
        return self._synthesize(w, noise_mode, seeds)

    @torch.no_grad()
    def map(
        self,
        z: Tensor,
        c: Classes | None = None,
        *,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map z [N, z_dim] and classes, as in `generate`, to w [N, num_ws, w_dim].

        Raises ValueError for arguments that do not match the network.
        """
        rows = None if c is None else to_class_vectors(self._class_indices(c), self.G.c_dim, z.shape[0]).to(self.device)
        return self.G.mapping(z.to(self.device, torch.float32), rows, truncation_psi, truncation_cutoff)

    @torch.no_grad()
    def synthesize(self, w: Tensor, *, noise_mode: str = "const", seed: int = 0) -> Tensor:
        """Synthesize images, as `generate` returns them, from w [N, num_ws, w_dim], or [N, w_dim] for all layers alike.

        With noise_mode "random", the noise of image k is drawn from seed + k. Raises ValueError for arguments that do
        not match the network.
        """
        if w.ndim == 2:
            w = w.unsqueeze(1).expand(-1, self.G.num_ws, -1)
        return self._synthesize(w.to(self.device), noise_mode, [(seed + k) % NUM_SEEDS for k in range(w.shape[0])])

    def _class_indices(self, c: Classes) -> Tensor | Sequence[int] | int:
        """Replace the names of classes by their indices."""
        if isinstance(c, str):
            return class_names.class_index(c, self.classes)
        if isinstance(c, list | tuple):
            return [class_names.class_index(item, self.classes) if isinstance(item, str) else item for item in c]
        return cast("Tensor | Sequence[int] | int", c)

    def _synthesize(self, w: Tensor, noise_mode: str, seeds: Sequence[int]) -> Tensor:
        def noise(name: str, shape: tuple[int, int, int, int]) -> Tensor:
            return torch.cat([seeded_noise(seed)(name, (1, *shape[1:])) for seed in seeds])

        images = self.G.synthesis(w, noise_mode=noise_mode, noise=noise).clamp(-1, 1)
        return images.flip(1) if self.network.channel_order == "bgr" else images


class StyleGAN3(_Model):
    """A StyleGAN3 network, config T or R: `StyleGAN3("x.pkl")`; `StyleGAN3()` is the demo network."""

    family = "StyleGAN3"
    demo = DEMO


class StyleGAN2(_Model):
    """A StyleGAN2 network of the PyTorch or TensorFlow programs; `StyleGAN2()` is the demo network of this family."""

    family = "StyleGAN2"
    demo = DEMO_STYLEGAN2

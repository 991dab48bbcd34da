"""A synthesis network as a sequence of layers over an explicit state, so a run can be stopped, resumed and observed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NOISE_MODES = ("const", "random", "none")

# (step name, shape [N, 1, H, W]) -> standard-normal noise of that shape.
Noise = Callable[[str, tuple[int, int, int, int]], Tensor]


@dataclass(frozen=True)
class Step:
    """One layer of a synthesis network: its name and the shape, dtype and bandwidth of its output."""

    name: str  # "input", "L0_36_512", "b8.conv0", "b8.torgb" ...
    index: int  # position in the order of execution
    resolution: int  # samples per image width, without the margin that StyleGAN3's feature maps have around it
    channels: int
    size: int  # height and width of the output, margin included
    w_indices: tuple[int, ...]  # the rows of ws that it reads
    dtype: torch.dtype  # on CUDA; elsewhere, and with force_fp32, it is float32
    sampling_rate: float | None = None  # of the output, samples per image width; None for StyleGAN2
    cutoff: float | None = None  # of the output's low-pass filter, cycles per image width; None for StyleGAN2

    @property
    def is_torgb(self) -> bool:
        """Whether this is a StyleGAN2 ToRGB, which adds to the image and leaves the feature map unchanged."""
        return self.name.endswith(".torgb")


@dataclass(frozen=True, eq=False)
class SynthesisState:
    """State passed between layers. Its tensors are never modified in place, so a state can be cached and reused."""

    x: Tensor  # feature map [N,C,H,W]
    image: Tensor | None = None  # StyleGAN2's image accumulated so far [N,C,H,W] float32
    shortcut: Tensor | None = None  # output of a StyleGAN2 resnet block's shortcut, until conv1 adds it
    done: int = 0  # number of steps run, which is the index of the next one


@dataclass(frozen=True)
class RunOptions:
    """Options of one forward pass, the same for all of its layers."""

    noise_mode: str = "const"
    force_fp32: bool = False
    noise: Noise | None = None
    update_emas: bool = False

    def dtype(self, planned: torch.dtype, device: torch.device) -> torch.dtype:
        """Return `planned` on CUDA unless force_fp32 is set; elsewhere float32, as the reference does."""
        return planned if device.type == "cuda" and not self.force_fp32 else torch.float32


class LayerwiseSynthesis(nn.Module):
    """ws [N, num_ws, w_dim] to images, layer by layer. The base class of both families' synthesis networks."""

    steps: tuple[Step, ...]
    num_ws: int
    w_dim: int

    def forward(self, ws: Tensor, **options: Any) -> Tensor:
        """ws [N, num_ws, w_dim] -> [N, C, H, W] float32, nominally in [-1, 1]. Options are those of `run`."""
        return self.to_image(self.run(ws, **options))

    def run(
        self,
        ws: Tensor,
        *,
        start: int = 0,
        state: SynthesisState | None = None,
        stop: int | None = None,
        noise_mode: str = "const",
        force_fp32: bool = False,
        noise: Noise | None = None,
        update_emas: bool = False,
        on_step: Callable[[Step, SynthesisState], None] | None = None,
    ) -> SynthesisState:
        """Run steps[start:stop] from `state` (None at start 0) and return the state after the last of them.

        Resuming from an intermediate state gives the same bits as one uninterrupted run. `noise_mode` is const, random
        or none; `noise` draws the random noise (default: torch's generator). `update_emas` updates the layers' running
        averages. `on_step(step, state)` is called after each step; an exception it raises ends the run. Raises
        ValueError for ws or a state that do not match.
        """
        end = len(self.steps) if stop is None else stop
        self._check(ws, start, end, state, noise_mode)
        options = RunOptions(noise_mode, force_fp32, noise, update_emas)
        ws = ws.to(torch.float32)
        for step in self.steps[start:end]:
            state = self._advance(step, state, ws, options)
            if on_step is not None:
                on_step(step, state)
        assert state is not None  # _check refuses an empty range of steps
        return state

    def step(self, name: str) -> Step:
        """Return the step of this name. Raises ValueError, listing the known names, for an unknown one."""
        for step in self.steps:
            if step.name == name:
                return step
        raise ValueError(f"This network has no layer {name!r}; it has {', '.join(s.name for s in self.steps)}.")

    @abstractmethod
    def to_image(self, state: SynthesisState) -> Tensor:
        """Return the image in a state, [N, C, H, W] float32. Raises ValueError where there is none yet."""

    @abstractmethod
    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, options: RunOptions) -> SynthesisState:
        """Run one layer on `state` (None for the first) and return the state after it."""

    def _check(self, ws: Tensor, start: int, end: int, state: SynthesisState | None, noise_mode: str) -> None:
        if ws.ndim != 3 or tuple(ws.shape[1:]) != (self.num_ws, self.w_dim):
            raise ValueError(f"ws has shape {list(ws.shape)}, but this network reads [N, {self.num_ws}, {self.w_dim}].")
        if noise_mode not in NOISE_MODES:
            raise ValueError(f"noise_mode is {noise_mode!r}, but must be one of {', '.join(NOISE_MODES)}.")
        if not 0 <= start <= end <= len(self.steps) or end == 0:
            raise ValueError(f"Steps {start} to {end} were asked for, but the network has {len(self.steps)}.")
        if (state.done if state is not None else 0) != start:
            done = "no state" if state is None else f"the state after {state.done} steps"
            raise ValueError(f"A run from step {start} was given {done}.")
        if state is not None and state.x.shape[0] != ws.shape[0]:
            raise ValueError(f"The state holds {state.x.shape[0]} pictures, but ws are for {ws.shape[0]}.")

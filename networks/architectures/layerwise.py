"""A synthesis network as a list of steps over a state: a picture can be begun, resumed, watched and cancelled."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NOISE_MODES = ("const", "random", "none")

# Draws standard-normal noise of this shape [N,1,H,W] for the step of this name.
Noise = Callable[[str, tuple[int, int, int, int]], Tensor]


@dataclass(frozen=True)
class Step:
    """One layer of a synthesis network: what people call it, and what comes out of it."""

    name: str  # "input", "L0_36_512", "b8.conv0", "b8.torgb" ...
    index: int  # place in the order of execution
    resolution: int  # samples across the picture proper; StyleGAN3's feature maps have a margin around it
    channels: int
    size: int  # height and width of what comes out, margin included
    w_indices: tuple[int, ...]  # the rows of ws that it reads
    dtype: torch.dtype  # on CUDA; everywhere else, and with force_fp32, it is float32
    sampling_rate: float | None = None  # of the output, cycles per image width; None where a network has no such plan
    cutoff: float | None = None  # of the output's low-pass filter, cycles per image width

    @property
    def is_torgb(self) -> bool:
        """Whether this is a StyleGAN2 ToRGB, which leaves the feature map alone and adds to the picture."""
        return self.name.endswith(".torgb")


@dataclass(frozen=True, eq=False)
class SynthesisState:
    """What one step hands to the next. Tensors are never changed in place, so a state can be kept and used again."""

    x: Tensor  # feature map [N,C,H,W]
    image: Tensor | None = None  # StyleGAN2's picture so far [N,C,H,W] float32
    shortcut: Tensor | None = None  # between the two convolutions of a StyleGAN2 resnet block
    done: int = 0  # how many steps were run: the index of the next one


@dataclass(frozen=True)
class RunOptions:
    """How one pass through the network is made."""

    noise_mode: str = "const"
    force_fp32: bool = False
    noise: Noise | None = None
    update_emas: bool = False

    def dtype(self, wanted: torch.dtype, device: torch.device) -> torch.dtype:
        """Half precision is for CUDA; a CPU computes everything in float32, as the reference does."""
        return wanted if device.type == "cuda" and not self.force_fp32 else torch.float32


class LayerwiseSynthesis(nn.Module):
    """ws [N, num_ws, w_dim] to pictures, step by step. Both generator families are this with their own steps."""

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
        """Run steps[start:stop] from `state` (None at start 0); a run in pieces gives the bits of a whole one.

        `noise_mode` const, random or none; `noise` draws the random one (default: torch's generator). `update_emas`
        lets the layers' running averages learn. `on_step(step, state)` is called after each step; what it raises
        ends the run. Raises ValueError where ws or the state do not fit.
        """
        end = len(self.steps) if stop is None else stop
        self._check(ws, start, end, state, noise_mode)
        how = RunOptions(noise_mode, force_fp32, noise, update_emas)
        ws = ws.to(torch.float32)
        for step in self.steps[start:end]:
            state = self._advance(step, state, ws, how)
            if on_step is not None:
                on_step(step, state)
        assert state is not None  # _check saw to that
        return state

    def step(self, name: str) -> Step:
        """The step of this name. Raises ValueError, with the names there are."""
        for step in self.steps:
            if step.name == name:
                return step
        raise ValueError(f"This network has no layer {name!r}; it has {', '.join(s.name for s in self.steps)}.")

    @abstractmethod
    def to_image(self, state: SynthesisState) -> Tensor:
        """The picture in a state, [N, C, H, W] float32. Raises ValueError where there is none yet."""

    @abstractmethod
    def _advance(self, step: Step, state: SynthesisState | None, ws: Tensor, how: RunOptions) -> SynthesisState:
        """Run one step."""

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

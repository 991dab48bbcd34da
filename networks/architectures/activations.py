"""Read intermediate activations: run a generator up to a named layer, or record the outputs of any module."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from networks.architectures.layerwise import LayerwiseSynthesis, Step, SynthesisState


def run_to_layer(synthesis: LayerwiseSynthesis, ws: Tensor, name: str, **options: Any) -> Tensor:
    """Run `synthesis` up to and including the named layer and return its output [N, C, H, W].

    For a StyleGAN2 ToRGB this is the image accumulated so far. `ws` is [N, num_ws, w_dim]; `options` are those of
    `LayerwiseSynthesis.run`. Raises ValueError, listing the known names, for an unknown layer.
    """
    step = synthesis.step(name)
    return feature_map(step, synthesis.run(ws, stop=step.index + 1, **options))


def feature_map(step: Step, state: SynthesisState) -> Tensor:
    """Return the output of the step just run, [N, C, H, W]: for a ToRGB the accumulated image, else the feature map."""
    return state.image if step.is_torgb and state.image is not None else state.x


@contextmanager
def record_outputs(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Record the outputs of the named submodules of any network while the `with` block runs, by forward hooks.

        with record_outputs(D, ["b16.conv0", "b4.mbstd"]) as outputs:
            D(img, c)
        outputs["b16.conv0"]                             # [N, C, H, W]

    For scripts that look into the discriminator, which has no layer-by-layer `run`. The hooks are removed afterwards.
    Raises ValueError for an unknown submodule.
    """
    modules = dict(network.named_modules())
    unknown = [name for name in names if name not in modules]
    if unknown:
        raise ValueError(f"This network has no part {', '.join(map(repr, unknown))}.")
    outputs: dict[str, Tensor] = {}
    handles = []
    try:
        for name in names:

            def record(_module: nn.Module, _inputs: Any, output: Any, name: str = name) -> None:
                outputs[name] = output[0] if isinstance(output, tuple) else output

            handles.append(modules[name].register_forward_hook(record))
        yield outputs
    finally:
        for handle in handles:
            handle.remove()

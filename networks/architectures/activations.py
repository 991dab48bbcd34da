"""Look inside a network: what comes out of a named layer, running no further than it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from networks.architectures.layerwise import LayerwiseSynthesis, Step, SynthesisState


def run_to_layer(synthesis: LayerwiseSynthesis, ws: Tensor, name: str, **options: Any) -> Tensor:
    """What comes out of the named layer, [N,C,H,W]; later layers do not run. Options are those of `run`.

    For a StyleGAN2 ToRGB it is the picture so far. Raises ValueError, with the names there are, for an unknown layer.
    """
    step = synthesis.step(name)
    return feature_map(step, synthesis.run(ws, stop=step.index + 1, **options))


def feature_map(step: Step, state: SynthesisState) -> Tensor:
    """What there is to see in the state right after a step: the picture so far for a ToRGB, else the features."""
    return state.image if step.is_torgb and state.image is not None else state.x


@contextmanager
def record_outputs(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Note what the named parts of any network put out while the `with` block runs; for the discriminator.

        with record_outputs(D, ["b16.conv0", "b4.mbstd"]) as seen:
            D(img, c)
        seen["b16.conv0"]                                # [N,C,H,W]

    Nothing stays attached to the network afterwards. Raises ValueError for an unknown part.
    """
    parts = dict(network.named_modules())
    unknown = [name for name in names if name not in parts]
    if unknown:
        raise ValueError(f"This network has no part {', '.join(map(repr, unknown))}.")
    seen: dict[str, Tensor] = {}
    handles = []
    try:
        for name in names:

            def note(_module: nn.Module, _inputs: Any, output: Any, name: str = name) -> None:
                seen[name] = output[0] if isinstance(output, tuple) else output

            handles.append(parts[name].register_forward_hook(note))
        yield seen
    finally:
        for handle in handles:
            handle.remove()

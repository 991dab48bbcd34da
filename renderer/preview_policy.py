"""Previews: while the user drags and exact images are slow, a faster network with the same weights renders."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch.nn.functional as F

from networks.architectures.layerwise import Step
from networks.inference.half_rate_preview import make_preview
from renderer.models.model_cache import LoadedModel
from renderer.stages.feature_maps import FeatureMap
from session import Scene

MIN_EXACT_SECONDS = 1 / 30  # images that take less are not worth a preview


def preview_model(scene: Scene, loaded: LoadedModel) -> LoadedModel | None:
    """Return the model for previews of this scene.

    None if the exact image is quick or is being inspected, or if this network has no preview form.
    """
    needs_exact = scene.capture.layer or not scene.inspect.chosen.spatial or scene.transform.undo
    if needs_exact or loaded.device.type != "cpu" or sum(loaded.layer_seconds) < MIN_EXACT_SECONDS:
        return None
    if loaded.preview is None:
        synthesis = make_preview(loaded.network.synthesis)
        if synthesis is None:
            return None
        network = copy.copy(loaded.network)
        network._modules = {**loaded.network._modules, "synthesis": synthesis}
        loaded.preview = replace(loaded, network=network, layer_seconds=[], cached_layers=None)
    return loaded.preview


def upscale_preview(feature_map: FeatureMap, step: Step | None, loaded: LoadedModel) -> FeatureMap:
    """Resize a preview [C, h, w] to the resolution of the exact image; leave a layer's feature map as it is."""
    size = loaded.network.img_resolution
    if step is not None or feature_map.values.shape[1] == size:
        return feature_map
    values = F.interpolate(feature_map.values[None], size=(size, size), mode="bicubic", align_corners=False)[0]
    return replace(feature_map, values=values)

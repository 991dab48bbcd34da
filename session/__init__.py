"""The document: frozen values that fully determine an image. Imports neither torch nor the window."""

from session.document import Session, with_scene
from session.inspect import Inspect, Picture, Spectrum
from session.scene import Capture, Compute, Latent, Mixing, Model, Noise, Scene, Transform, Truncation

__all__ = [
    "Capture",
    "Compute",
    "Inspect",
    "Latent",
    "Mixing",
    "Model",
    "Noise",
    "Picture",
    "Scene",
    "Session",
    "Spectrum",
    "Transform",
    "Truncation",
    "with_scene",
]

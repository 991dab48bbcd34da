"""The panels of the window in their order; to add one, write a file and add a line here."""

from widgets.bookmarks import panel as bookmarks
from widgets.capture import panel as capture
from widgets.latent import panel as latent
from widgets.layers import panel as layers
from widgets.mixing import panel as mixing
from widgets.model import panel as model
from widgets.noise import panel as noise
from widgets.performance import panel as performance
from widgets.transform import panel as transform
from widgets.truncation import panel as truncation

PANELS = (
    model,
    latent,
    truncation,
    mixing,
    noise,
    transform,
    layers,
    bookmarks,
    performance,
    capture,
)

__all__ = ["PANELS"]

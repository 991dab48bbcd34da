"""The published settings of training, one line each, and two of ours for small machines."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from session.fields import FieldError, suggest

VAE_KL = 0.003  # with more all pictures of an autoencoder become alike, with less there are holes between its codes
VAE_FADING = 10.0  # with more G stays blurred while the autoencoder's loss fades


@dataclass(frozen=True)
class Preset:
    """What a line of the table says; None follows from batch, resolution and number of GPUs (see `training.config`)."""

    network: str  # of networks.presets.preset
    kimg: int
    batch: int | None
    gamma: float | None
    mbstd_group: int | None
    fmaps: float | None  # times 32768 is --cbase
    cmax: int
    latent: int  # length of z and w
    num_layers: int  # of StyleGAN3 without input and ToRGB
    first_cutoff: float  # of StyleGAN3's input, in cycles a picture
    g_lr: float | None
    d_lr: float | None
    ema_kimg: float | None
    ema_rampup: float | None
    map_depth: int  # layers of the mapping network
    style_mixing: float  # probability of style mixing
    pl_weight: float  # weight of path length
    g_reg_interval: int | None  # steps between two path length regularisations
    blur: float  # pixels that D's input is blurred by at first
    run_name_style: str  # of the run's name: "sg3" or "ada"


# "-" follows from the rest. The last four are ours, for a GPU of 8 GB and for a CPU: narrow, gamma by auto's rule. With
# batches of 8 a StyleGAN3 at the published rates outruns D, which then never learns (docs/training.md): D is quicker.
_TABLE = """
name          network         kimg batch  r1 mb  fmaps cmax z,w lay cut  g_lr  d_lr ema ramp map mix pl per blur style
stylegan3-t   stylegan3-t    25000     -   -  4      1  512 512  14   2 .0025  .002   -  .05   2   0  0   -    0   sg3
stylegan3-r   stylegan3-r    25000     -   -  4      1  512 512  14   2 .0025  .002   -  .05   2   0  0   -   10   sg3
stylegan2     stylegan2      25000     -   -  4      1  512 512  14   2  .002  .002   -  .05   8  .9  2   4    0   sg3
auto          auto           25000     -   -  -      -  512 512  14   2     -     -   -  .05   2  .9  2   4    0   ada
stylegan2-ada stylegan2-ada  25000    32  10  4      1  512 512  14   2  .002  .002  10    -   8  .9  2   4    0   ada
paper256      paper256       25000    64   1  8     .5  512 512  14   2 .0025 .0025  20    -   8  .9  2   4    0   ada
paper512      paper512       25000    64  .5  8      1  512 512  14   2 .0025 .0025  20    -   8  .9  2   4    0   ada
paper1024     paper1024      25000    32   2  4      1  512 512  14   2  .002  .002  10    -   8  .9  2   4    0   ada
cifar         cifar         100000    64 .01 32      1  512 512  14   2 .0025 .0025 500  .05   2   0  0   4    0   ada
small-gpu     stylegan3-t     5000    16   -  4     .5  256 256  14   2 .0025  .002   -  .05   2   0  0   -    0   sg3
cpu           stylegan2       1000    16   -  4  .0625   64  64  14   2 .0025 .0025   -  .05   2   0  0   4    0   sg3
cpu-t         stylegan3-t     1000     8   -  4  .0625   64  64   6   4  .001  .004   -  .05   2   0  0   -    0   sg3
cpu-r         stylegan3-r     1000     8   -  4 .03125   48  64   8   2  .001  .004   -  .05   2   0  0   -    0   sg3
"""


def _read(table: str) -> dict[str, Preset]:
    _, *lines = (line.split() for line in table.strip().splitlines())
    kinds = [field.type for field in fields(Preset)]

    def value(word: str, kind: Any) -> Any:
        if word == "-":
            return None
        return word if kind == "str" else int(word) if kind.startswith("int") else float(word)

    return {name: Preset(*map(value, words, kinds)) for name, *words in lines}


PRESETS = _read(_TABLE)


def get_preset(name: str) -> Preset:
    """The preset of this name. Raises FieldError, with the names there are."""
    if name not in PRESETS:
        raise FieldError(f"--cfg is {name!r}: {suggest(name, tuple(PRESETS))}")
    return PRESETS[name]

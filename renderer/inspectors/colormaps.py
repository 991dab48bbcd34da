"""Colormaps for single channels and for spectra."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

# Every eighth of the 256 colors of each colormap, as hexadecimal RGB; the rest is interpolated (error at most 2 of
# 255, cividis 6). viridis and magma: S. van der Walt and N. Smith, 2015, dedicated to the public domain (CC0).
# cividis: Nunez, Anderton and Renslow, PLoS ONE 13(7), 2018, published free of all copyright (CC0).
_ANCHORS = {
    "grey": "000000 ffffff",
    "viridis": (
        "440154 470d60 48186a 482374 472d7b 453681 424086 3f4989 3b528b 375a8d 33638d 2f6a8e 2c728e 297a8e 26818e "
        "23898e 21908c 1f988b 1f9f88 21a685 28ae80 31b57b 3ebc74 4cc26c 5dc963 6ece58 82d34c 96d83f abdc32 c0df24 "
        "d5e21a eae51a fde725"
    ),
    "magma": (
        "000004 030311 0a0822 130d33 1d1146 28115a 36106a 430f76 50127c 5d177f 691c81 762181 822681 8f2a81 9c2e7f "
        "a9327d b63779 c33b75 cf4170 db486a e65163 ee5c5e f5695c f9785d fb8761 fd9668 fea571 feb47b fec387 fed194 "
        "fde0a2 fceeb0 fcfdbf"
    ),
    "cividis": (
        "00224e 00285b 002e6a 043371 1a386f 273e6e 32436d 3b496c 434e6c 4b546c 52596d 5a5f6e 61656f 686a71 6f7073 "
        "757676 7c7b78 848179 8b8778 938d78 9b9376 a39a75 aba072 b3a670 bbad6c c3b469 ccba64 d4c15f ddc958 e6d051 "
        "efd748 f8df3c fee838"
    ),
}
TABLE_SIZE = 1024  # finer than 8 bits, so that smooth planes show no steps


@cache
def color_table(name: str) -> Tensor:
    """Return a colormap from low to high, uint8 [3, TABLE_SIZE]. Raises KeyError for an unknown name."""
    anchors = torch.tensor([list(bytes.fromhex(color)) for color in _ANCHORS[name].split()], dtype=torch.float32)
    position = torch.linspace(0, len(anchors) - 1, TABLE_SIZE)
    below = position.floor().clamp(max=len(anchors) - 2).long()
    fraction = (position - below).unsqueeze(1)
    return anchors[below].lerp(anchors[below + 1], fraction).round().to(torch.uint8).T.contiguous()


def apply_colormap(values: Tensor, name: str) -> Tensor:
    """Map values [H, W], from 0 (low) to 1 (high), to colors, uint8 [3, H, W]. NaN counts as 0."""
    scale = color_table(name).to(values.device)
    index = (values * (TABLE_SIZE - 1)).round().clamp(0, TABLE_SIZE - 1).nan_to_num(0).long()
    return scale[:, index]

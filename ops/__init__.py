"""The ops of alias-free networks: resampling filters, activations and modulated convolution, all in plain torch."""

from ops import kernels, warp
from ops.backends import describe
from ops.bias_act import ACTIVATIONS, bias_act
from ops.conv_resample import conv2d_resample
from ops.filtered_lrelu import filtered_lrelu
from ops.filters import design_lowpass_filter, setup_filter
from ops.modulated_conv import modulated_conv2d_stylegan2, modulated_conv2d_stylegan3, square_weight
from ops.spectrum import power_spectrum, radial_profile
from ops.upfirdn2d import downsample2d, filter2d, upfirdn2d, upsample2d

__all__ = [
    "ACTIVATIONS",
    "bias_act",
    "conv2d_resample",
    "describe",
    "design_lowpass_filter",
    "downsample2d",
    "filter2d",
    "filtered_lrelu",
    "kernels",
    "modulated_conv2d_stylegan2",
    "modulated_conv2d_stylegan3",
    "power_spectrum",
    "radial_profile",
    "setup_filter",
    "square_weight",
    "upfirdn2d",
    "upsample2d",
    "warp",
]

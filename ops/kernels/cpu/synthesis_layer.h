// A StyleGAN3 synthesis layer without gradients in one call, since a call from Python takes as long as a small layer.
//
//     styles       = affine w + affine_bias
//     demodulation = (demod_weights styles^2)^(-1/2)
//     out          = filtered_lrelu(conv(x * styles) * demodulation + bias)
#pragma once
#include "conv1x1.h"
#include "filtered_lrelu.h"
#include "conv3x3_winograd.h"
#include <cmath>
#include <vector>

struct SynthesisLayerArgs {
    const float *w, *affine, *affine_bias; // [N, w_dim], [in_channels, w_dim], [in_channels]
    const float *demod_weights;            // [out_channels, in_channels], each kernel's sum of squares; or null
    float *conv_output;                    // memory for the convolution's output of one image
    int64_t w_dim, kernel;                 // kernel: 1 or 3
    ConvArgs conv;                         // x is the first image
    FilteredLreluArgs filter;              // out is that of the first image
};

namespace {

constexpr int64_t MIN_PARALLEL_PRODUCTS = 1 << 16; // fewer multiply-adds are not worth waking threads for

// Matrix-vector product: out [rows] = matrix [rows, columns] * vector [columns].
struct Gemv {
    const float *matrix, *vector;
    float *out;
    int64_t rows, columns;

    float dot_row(int64_t r) const {
        const float *row = matrix + r * columns;
        Vec sums[4] = {};
        int64_t c = 0;
        for (; c + 4 * LANES <= columns; c += 4 * LANES)
            UNROLL for (int i = 0; i < 4; i++)
                sums[i] += load<true>(row + c + i * LANES, LANES) * load<true>(vector + c + i * LANES, LANES);
        for (; c + LANES <= columns; c += LANES) sums[0] += load<true>(row + c, LANES) * load<true>(vector + c, LANES);
        int tail = (int)(columns - c);
        if (tail) sums[1] += load<false>(row + c, tail) * load<false>(vector + c, tail);
        Vec lanes = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        float sum = 0;
        for (int i = 0; i < LANES; i++) sum += lanes[i];
        return sum;
    }

    static void run_rows(void *context, int64_t task) {
        const Gemv &gemv = *(const Gemv *)context;
        for (int64_t r = task * 32; r < std::min(gemv.rows, task * 32 + 32); r++) gemv.out[r] = gemv.dot_row(r);
    }

    void run(int64_t threads) {
        ThreadPool::shared().run(run_rows, this, (rows + 31) / 32,
                                 rows * columns < MIN_PARALLEL_PRODUCTS ? 1 : (int)threads);
    }
};

// 0, or 1 if there was not enough memory.
int run_synthesis_layer(const SynthesisLayerArgs &layer) {
    try {
        ConvArgs conv = layer.conv;
        FilteredLreluArgs filter = layer.filter;
        const int64_t in_channels = conv.in_channels, out_channels = conv.out_channels, threads = conv.threads;
        const int64_t in_elements = conv.height * conv.width * conv.x_stride; // of one image
        const int64_t out_elements = filter.downsampler.y.size_out * filter.downsampler.x.size_out * filter.out_stride;
        std::vector<float> styles(in_channels), styles_squared(in_channels), demodulation(out_channels);
        conv.input_scale = styles.data();
        conv.out = layer.conv_output;
        filter.x = layer.conv_output;
        filter.x_stride = conv.out_stride;
        filter.samples = 1;
        filter.input_scale = layer.demod_weights ? demodulation.data() : nullptr;
        filter.input_scale_stride = 0;
        for (int64_t n = 0; n < layer.filter.samples; n++) {
            Gemv{layer.affine, layer.w + n * layer.w_dim, styles.data(), in_channels, layer.w_dim}.run(threads);
            for (int64_t i = 0; i < in_channels; i++) {
                styles[i] += layer.affine_bias[i];
                styles_squared[i] = styles[i] * styles[i];
            }
            if (layer.demod_weights) {
                Gemv{layer.demod_weights, styles_squared.data(), demodulation.data(), out_channels, in_channels}.run(
                    threads);
                for (float &d : demodulation) d = 1 / std::sqrt(d);
            }
            conv.x = layer.conv.x + n * in_elements;
            filter.out = (float *)layer.filter.out + n * out_elements;
            bool done = layer.kernel == 1 ? conv1x1::run(conv) : winograd::run(conv);
            if (!done || filtered_lrelu(filter)) return 1;
        }
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

} // namespace

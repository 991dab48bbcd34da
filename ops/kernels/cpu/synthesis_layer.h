// A layer of StyleGAN3 in one call, since the way from Python takes as long as a small layer: styles of w, convolution
// of the picture scaled with them, filtered_lrelu of the result scaled with the demodulation.
#pragma once
#include "conv1x1.h"
#include "filtered_lrelu.h"
#include "conv3x3_winograd.h"
#include <cmath>
#include <vector>

struct Layer {
    const float *w, *affine, *affine_bias; // [N, w_dim], [I, w_dim], [I]
    const float *squares;                  // [O, I], of which come 1 / demodulation^2, or null
    float *between;                        // room for the convolution of one picture
    int64_t w_dim, kernel;
    Convolution convolution; // x is the first picture
    Job filter;              // out is that of the first picture
};

namespace {

constexpr int64_t SMALL = 1 << 16; // products that are not worth sharing

// out [rows] = the rows of a matrix [rows, columns] times `with`
struct MatrixVector {
    const float *matrix, *with;
    float *out;
    int64_t rows, columns;

    float row(int64_t r) const {
        const float *at = matrix + r * columns;
        Vec sums[4] = {};
        int64_t c = 0;
        for (; c + 4 * LANES <= columns; c += 4 * LANES)
            UNROLL for (int i = 0; i < 4; i++)
                sums[i] += load<true>(at + c + i * LANES, LANES) * load<true>(with + c + i * LANES, LANES);
        for (; c + LANES <= columns; c += LANES) sums[0] += load<true>(at + c, LANES) * load<true>(with + c, LANES);
        int rest = (int)(columns - c);
        if (rest) sums[1] += load<false>(at + c, rest) * load<false>(with + c, rest);
        Vec all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        float sum = 0;
        for (int i = 0; i < LANES; i++) sum += all[i];
        return sum;
    }

    static void some_rows(void *context, int64_t task) {
        const MatrixVector &job = *(const MatrixVector *)context;
        for (int64_t r = task * 32; r < std::min(job.rows, task * 32 + 32); r++) job.out[r] = job.row(r);
    }

    void run(int64_t threads) {
        Pool::shared().run(some_rows, this, (rows + 31) / 32, rows * columns < SMALL ? 1 : (int)threads);
    }
};

// 0, or 1 if there was not enough memory.
int run_layer(const Layer &layer) {
    try {
        Convolution convolution = layer.convolution;
        Job filter = layer.filter;
        const int64_t inside = convolution.channels, results = convolution.results, threads = convolution.threads;
        const int64_t taken = convolution.height * convolution.width * convolution.x_stride;
        const int64_t given = filter.after.y.out * filter.after.x.out * filter.out_stride;
        std::vector<float> styles(inside), squared(inside), demodulation(results);
        convolution.scale = styles.data();
        convolution.out = layer.between;
        filter.x = layer.between;
        filter.x_stride = convolution.out_stride;
        filter.samples = 1;
        filter.scale = layer.squares ? demodulation.data() : nullptr;
        filter.scale_step = 0;
        for (int64_t n = 0; n < layer.filter.samples; n++) {
            MatrixVector{layer.affine, layer.w + n * layer.w_dim, styles.data(), inside, layer.w_dim}.run(threads);
            for (int64_t i = 0; i < inside; i++) {
                styles[i] += layer.affine_bias[i];
                squared[i] = styles[i] * styles[i];
            }
            if (layer.squares) {
                MatrixVector{layer.squares, squared.data(), demodulation.data(), results, inside}.run(threads);
                for (float &d : demodulation) d = 1 / std::sqrt(d);
            }
            convolution.x = layer.convolution.x + n * taken;
            filter.out = (float *)layer.filter.out + n * given;
            bool done = layer.kernel == 1 ? pointwise::run(convolution) : winograd::run(convolution);
            if (!done || filtered_lrelu(filter)) return 1;
        }
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

} // namespace

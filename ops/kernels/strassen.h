// The product of pixels with weights in seven eighths of the multiplications: Strassen's algorithm in Winograd's form,
// one level of it (Strassen, "Gaussian Elimination is not Optimal", Numerische Mathematik 13, 1969; the form with
// fifteen additions: Higham, "Accuracy and Stability of Numerical Algorithms", section 23.1). Some pixels are halved
// into first and second, so are channels and results; seven products of halves give all four quarters of the results.
// It differs from plain sums by rounding, about 1e-6 of the largest value; what is not finite in one pixel spoils the one
// it is together with. Which pixels are together depends on the picture's size alone, so that threads do not change a bit.
#pragma once
#include "products.h"

namespace strassen {

constexpr int64_t PRODUCTS = 7;
constexpr int64_t TOGETHER = 4 * ROWS_AT_ONCE; // pixels

inline int64_t half_of(int64_t channels) { return (channels + 1) / 2; }
inline int64_t half_of_results(int64_t results) { return up_to((results + 1) / 2, LANES); }

// Additions take time, too, and halves of odd size are filled up.
inline bool wins(int64_t results, int64_t channels) {
    if (channels < 192 || results < 128) return false;
    return PRODUCTS * half_of(channels) * half_of_results(results) < 0.92 * 2 * channels * up_to(results, LANES);
}

inline int64_t packed_size(int64_t results, int64_t channels) {
    return PRODUCTS * half_of(channels) * half_of_results(results);
}

// weight [results, channels] to [product, panel, channels / 2, a panel's results].
inline void pack(const float *weight, int64_t results, int64_t channels, float *packed) {
    const int64_t inside = half_of(channels), wide = half_of_results(results);
    auto at = [&](int64_t c, int64_t o) { return c < channels && o < results ? weight[o * channels + c] : 0.0f; };
    for (int64_t o = 0; o < wide; o++) {
        const int64_t first = o / PANEL * PANEL, panel = std::min(PANEL, wide - first);
        for (int64_t c = 0; c < inside; c++) {
            float b11 = at(c, o), b12 = o + wide < results ? at(c, o + wide) : 0.0f;
            float b21 = c + inside < channels ? at(c + inside, o) : 0.0f;
            float b22 = c + inside < channels && o + wide < results ? at(c + inside, o + wide) : 0.0f;
            float t1 = b12 - b11, t2 = b22 - t1, t3 = b22 - b12, t4 = t2 - b21;
            const float all[PRODUCTS] = {b11, b21, b22, t4, t1, t2, t3};
            for (int64_t i = 0; i < PRODUCTS; i++)
                packed[i * inside * wide + first * inside + c * panel + o - first] = all[i];
        }
    }
}

// The seven factors on the side of the pixels: x [rows, channels], scaled, to v [product, half, row].
inline void take(const Convolution &job, const float *x, int64_t rows, int64_t half, float *v) {
    const int64_t inside = half_of(job.channels), row = spaced(inside);
    for (int64_t c = 0; c < inside; c += LANES) {
        const int64_t left = inside - c, right = job.channels - inside - c;
        const Vec scale_left = factors(job.scale, c, left);
        const Vec scale_right = factors(job.scale, inside + c, right);
        for (int64_t p = 0; p < half; p++) {
            const float *upper = x + p * job.x_stride + c, *lower = upper + half * job.x_stride;
            const bool both = p + half < rows;
            Vec a11 = load_up_to(upper, left) * scale_left, a12 = load_up_to(upper + inside, right) * scale_right;
            Vec a21 = both ? load_up_to(lower, left) * scale_left : Vec{};
            Vec a22 = both ? load_up_to(lower + inside, right) * scale_right : Vec{};
            Vec s1 = a21 + a22, s2 = s1 - a11, s3 = a11 - a21, s4 = a12 - s2;
            const Vec all[PRODUCTS] = {a11, a12, s4, a22, s1, s2, s3};
            UNROLL for (int i = 0; i < PRODUCTS; i++) store<true>(v + (i * half + p) * row + c, all[i], LANES);
        }
    }
}

// How many blocks there are to multiply for twice `half` pixels.
inline int64_t calls(const Convolution &job, int64_t half) {
    return PRODUCTS * blocks_of(half, half_of(job.channels), half_of_results(job.results));
}

// How many numbers `multiply_pixels` works with beside the results.
inline int64_t room(int64_t channels, int64_t half) { return PRODUCTS * half * (spaced(half_of(channels)) + PANEL); }

// out [rows, results] = x [rows, channels] times the weights, and scales and gains.
inline void multiply_pixels(const Convolution &job, const float *x, float *out, int64_t rows, int64_t half, float *v,
                            Ahead &ahead) {
    const int64_t inside = half_of(job.channels), row = spaced(inside), wide = half_of_results(job.results);
    const bool streams = job.streams();
    take(job, x, rows, half, v);
    float *products = v + PRODUCTS * half * row;
    auto put = [streams](float *to, Vec values, int64_t count) {
        if (count <= 0) return;
        if (streams) stream(to, values);
        else if (count >= LANES) store<true>(to, values, LANES);
        else store<false>(to, values, (int)count);
    };
    for (int64_t o = 0; o < wide; o += PANEL) {
        const int64_t panel = std::min(PANEL, wide - o);
        for (int64_t i = 0; i < PRODUCTS; i++) {
            Sums sums{products + i * half * PANEL, PANEL};
            multiply_panel(v + i * half * row, row, job.weights + i * inside * wide + o * inside, inside, sums, sums,
                           half, panel, ahead);
        }
        for (int64_t r = o; r < o + panel; r += LANES) {
            const int64_t left = job.written() - r, right = left - wide;
            const Vec gain_left = factors(job.gain, r, job.results - r);
            const Vec gain_right = factors(job.gain, wide + r, job.results - wide - r);
            for (int64_t p = 0; p < half; p++) {
                Vec m[PRODUCTS];
                UNROLL for (int i = 0; i < PRODUCTS; i++)
                    m[i] = load<true>(products + (i * half + p) * PANEL + r - o, LANES);
                Vec u2 = m[0] + m[5], u3 = u2 + m[6], u4 = u2 + m[4];
                float *to = out + p * job.out_stride + r;
                put(to, (m[0] + m[1]) * gain_left, left);
                put(to + wide, (u4 + m[2]) * gain_right, right);
                if (p + half >= rows) continue;
                to += half * job.out_stride;
                put(to, (u3 - m[3]) * gain_left, left);
                put(to + wide, (u3 + m[4]) * gain_right, right);
            }
        }
    }
    if (streams) finish_streams();
}

} // namespace strassen

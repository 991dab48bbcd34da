// GEMM of pixels by weights by one or two levels of Strassen's algorithm in Winograd's form.
//
// 7/8 of the multiply-adds of a plain GEMM, or 49/64 (Strassen, "Gaussian Elimination is not Optimal", Numerische
// Mathematik 13, 1969; the form with fifteen additions: Higham, "Accuracy and Stability of Numerical Algorithms",
// section 23.1). Pixels (rows), input channels and output channels are halved:
//
//     [ A11 A12 ]   [ B11 B12 ]     [ C11 C12 ]
//     [ A21 A22 ] * [ B21 B22 ]  =  [ C21 C22 ]      from seven products m0 .. m6 of half the size instead of eight
//
// A second level computes each of the seven products in the same way.
//
// The result differs from plain sums by rounding, about 1e-6 of the largest value with one level and 5e-6 with two. A
// NaN or infinity in one pixel contaminates the whole block of pixels. Blocks depend on the image's size alone, so that
// results do not depend on threads.
#pragma once
#include "gemm.h"

namespace strassen {

constexpr int64_t PRODUCTS = 7;
constexpr int64_t ROWS_PER_BLOCK = 4 * MR; // pixels of one task

inline int64_t half(int64_t size) { return (size + 1) / 2; }
inline int64_t half_out_channels(int64_t out_channels) { return round_up((out_channels + 1) / 2, LANES); }
inline int64_t quarter_out_channels(int64_t out_channels) { return round_up((out_channels + 3) / 4, LANES); }

// How many levels are faster, 0 to 2. The additions take time, too, and halves of odd size are padded.
inline int num_levels(int64_t out_channels, int64_t in_channels) {
    const int64_t half_in = half(in_channels), plain = in_channels * round_up(out_channels, LANES);
    const int64_t one = PRODUCTS * half_in * half_out_channels(out_channels); // multiply-adds for half of the pixels
    const int64_t two = PRODUCTS * PRODUCTS * half(half_in) * quarter_out_channels(out_channels); // for a quarter
    if (in_channels >= 320 && out_channels >= 256 && two < 0.95 * 2 * one) return 2;
    return in_channels >= 192 && out_channels >= 128 && one < 0.92 * 2 * plain ? 1 : 0;
}

// Half the sizes of the matrices of one level: of A's rows (pixels), of the input channels, of the output channels.
struct LevelSize {
    int64_t rows, in, out;
    int64_t a_stride() const { return padded_stride(in); }
    int64_t workspace_elements() const { return PRODUCTS * rows * (a_stride() + NR); }
};

inline LevelSize outer_level(const ConvArgs &args, int64_t rows, int levels) {
    const int64_t out =
        levels == 2 ? 2 * quarter_out_channels(args.out_channels) : half_out_channels(args.out_channels);
    return {half(rows), half(args.in_channels), out};
}

inline LevelSize inner_level(const LevelSize &outer) { return {half(outer.rows), half(outer.in), outer.out / 2}; }

// Number of elements that `pack_weights` writes.
inline int64_t packed_size(int64_t out_channels, int64_t in_channels) {
    const int64_t half_in = half(in_channels);
    if (num_levels(out_channels, in_channels) == 2)
        return PRODUCTS * PRODUCTS * half(half_in) * quarter_out_channels(out_channels);
    return PRODUCTS * half_in * half_out_channels(out_channels);
}

// The right factors of the seven products, from one element of each quarter of B.
struct WeightFactors {
    float factors[PRODUCTS];
    WeightFactors(float b11, float b12, float b21, float b22) {
        const float t1 = b12 - b11, t2 = b22 - t1;
        const float values[PRODUCTS] = {b11, b21, b22, t2 - b21, t1, t2, b22 - b12};
        std::copy(values, values + PRODUCTS, factors);
    }
};

// Pack one level: weight(in channel, out channel), 0 beyond the matrix, to [panels][PRODUCTS][in][NR], with in and out
// half the channels.
template <class Weight> void pack_level(const Weight &weight, int64_t in, int64_t out, float *packed) {
    for (int64_t o = 0; o < out; o++) {
        const int64_t first = o / NR * NR, panel_width = std::min(NR, out - first);
        for (int64_t c = 0; c < in; c++) {
            const WeightFactors right(weight(c, o), weight(c, o + out), weight(c + in, o), weight(c + in, o + out));
            for (int64_t i = 0; i < PRODUCTS; i++)
                packed[(PRODUCTS * first + i * panel_width) * in + c * panel_width + o - first] = right.factors[i];
        }
    }
}

// weight [out_channels, in_channels] to packed [panels][PRODUCTS][in][NR]; two levels: [outer PRODUCTS] of these.
inline void pack_weights(const float *weight, int64_t out_channels, int64_t in_channels, float *packed) {
    auto element = [&](int64_t c, int64_t o) {
        return c < in_channels && o < out_channels ? weight[o * in_channels + c] : 0.0f;
    };
    const int64_t half_in = half(in_channels);
    if (num_levels(out_channels, in_channels) == 1)
        return pack_level(element, half_in, half_out_channels(out_channels), packed);
    const int64_t quarter_out = quarter_out_channels(out_channels), quarter_in = half(half_in);
    for (int64_t i = 0; i < PRODUCTS; i++) {
        auto outer_factor = [&](int64_t c, int64_t o) {
            if (c >= half_in) return 0.0f;
            const int64_t right = o + 2 * quarter_out;
            return WeightFactors(element(c, o), element(c, right), element(c + half_in, o), element(c + half_in, right))
                .factors[i];
        };
        pack_level(outer_factor, quarter_in, quarter_out, packed + i * PRODUCTS * quarter_in * quarter_out);
    }
}

// The left factor of product I, from a vector of each quarter of A.
template <int I> INLINE Vec input_factor(Vec a11, Vec a12, Vec a21, Vec a22) {
    if (I == 0) return a11;
    if (I == 1) return a12;
    if (I == 3) return a22;
    if (I == 4) return a21 + a22;
    if (I == 6) return a11 - a21;
    const Vec s2 = a21 + a22 - a11;
    return I == 5 ? s2 : a12 - s2;
}

// Inputs of a level (InputView, OuterFactor) give `channels(c, end)`, a view of LANES channels of all pixels, whose
// `at<FULL>(p)` is the vector of pixel p. FULL: pixel and channels are known to be inside; otherwise zeros beyond.

// The scaled pixels x [rows, in_channels].
struct InputView {
    const ConvArgs &args;
    const float *x;
    int64_t rows;

    struct Channels {
        const float *x;
        int64_t stride, rows, channels_left;
        Vec scale;
        bool is_full(int64_t wanted_rows) const { return rows >= wanted_rows && channels_left >= LANES; }
        template <bool FULL> INLINE Vec at(int64_t p) const {
            if (FULL) return load<true>(x + p * stride, LANES) * scale;
            return p < rows ? load_lanes(x + p * stride, channels_left) * scale : Vec{};
        }
    };

    // Channels [c, c + LANES), zeros from `end` on.
    INLINE Channels channels(int64_t c, int64_t end) const {
        const int64_t left = std::min(end, args.in_channels) - c;
        return {x + c, args.x_stride, rows, left, load_scales(args.input_scale, c, left)};
    }
};

// The left factor of product I of the outer level.
template <int I> struct OuterFactor {
    const InputView &input;
    const LevelSize &outer;

    struct Channels {
        InputView::Channels left, right; // the two halves of the input channels
        int64_t half_rows;
        bool is_full(int64_t wanted_rows) const {
            return half_rows >= wanted_rows && left.is_full(2 * half_rows) && right.is_full(2 * half_rows);
        }
        template <bool FULL> INLINE Vec at(int64_t p) const {
            if (!FULL && p >= half_rows) return Vec{};
            const Vec none = {};
            Vec a11 = I == 1 || I == 3 || I == 4 ? none : left.template at<FULL>(p);
            Vec a12 = I == 1 || I == 2 ? right.template at<FULL>(p) : none;
            Vec a21 = I == 2 || I >= 4 ? left.template at<FULL>(p + half_rows) : none;
            Vec a22 = I >= 2 && I <= 5 ? right.template at<FULL>(p + half_rows) : none;
            return input_factor<I>(a11, a12, a21, a22);
        }
    };

    INLINE Channels channels(int64_t c, int64_t end) const {
        end = std::min(end, outer.in);
        return {input.channels(c, end), input.channels(outer.in + c, outer.in + end), outer.rows};
    }
};

// One level: `input` times the packed weights, to `output.channels(o)(pixel, vector)`. Workspace v:
// [PRODUCTS][size.rows][a_stride] left factors, then [PRODUCTS][size.rows][NR] products of one panel.
template <class Input, class Output>
void multiply_level(const LevelSize &size, const Input &input, const float *weights, const Output &output, float *v,
                    Prefetcher &prefetcher) {
    const int64_t a_stride = size.a_stride(), half_rows = size.rows;
    for (int64_t c = 0; c < size.in; c += LANES) {
        const auto left = input.channels(c, size.in), right = input.channels(size.in + c, 2 * size.in);
        auto store_factors = [&](auto is_full) {
            constexpr bool FULL = decltype(is_full)::value;
            for (int64_t p = 0; p < half_rows; p++) {
                const Vec a11 = left.template at<FULL>(p), a12 = right.template at<FULL>(p);
                const Vec a21 = left.template at<FULL>(p + half_rows), a22 = right.template at<FULL>(p + half_rows);
                Vec s1 = a21 + a22, s2 = s1 - a11;
                const Vec factors[PRODUCTS] = {a11, a12, a12 - s2, a22, s1, s2, a11 - a21};
                UNROLL for (int i = 0; i < PRODUCTS; i++)
                    store<true>(v + (i * half_rows + p) * a_stride + c, factors[i], LANES);
            }
        };
        if (left.is_full(2 * half_rows) && right.is_full(2 * half_rows)) store_factors(std::true_type());
        else store_factors(std::false_type());
    }
    float *products = v + PRODUCTS * half_rows * a_stride;
    for (int64_t o = 0; o < size.out; o += NR) {
        const int64_t panel_width = std::min(NR, size.out - o);
        for (int64_t i = 0; i < PRODUCTS; i++) {
            Tile product{products + i * half_rows * NR, NR};
            gemm_panel(v + i * half_rows * a_stride, a_stride, weights + (PRODUCTS * o + i * panel_width) * size.in,
                       size.in, product, product, half_rows, panel_width, prefetcher);
        }
        for (int64_t r = o; r < o + panel_width; r += LANES) {
            const auto left = output.channels(r), right = output.channels(size.out + r);
            for (int64_t p = 0; p < half_rows; p++) {
                Vec m[PRODUCTS];
                UNROLL for (int i = 0; i < PRODUCTS; i++)
                    m[i] = load<true>(products + (i * half_rows + p) * NR + r - o, LANES);
                Vec u2 = m[0] + m[5], u3 = u2 + m[6], u4 = u2 + m[4];
                left(p, m[0] + m[1]);
                right(p, u4 + m[2]);
                left(p + half_rows, u3 - m[3]);
                right(p + half_rows, u3 + m[4]);
            }
        }
    }
}

// Where outputs are stored in the end, times output_scale: all of them, or one quarter of the matrix.
struct OutputView {
    const ConvArgs &args;
    float *out;                  // [rows, out_channels], at the quarter's first row
    int64_t rows, first_channel; // of the quarter
    bool nontemporal;

    struct Channels {
        float *out;
        int64_t stride, rows, count;
        Vec scale;
        bool nontemporal;
        INLINE void operator()(int64_t p, Vec value) const {
            if (count <= 0 || p >= rows) return;
            value *= scale;
            if (nontemporal) store_nontemporal(out + p * stride, value);
            else if (count >= LANES) store<true>(out + p * stride, value, LANES);
            else store<false>(out + p * stride, value, (int)count);
        }
    };

    INLINE Channels channels(int64_t o) const {
        o += first_channel;
        return {out + o, args.out_stride, rows, args.out_channels_padded() - o,
                load_scales(args.output_scale, o, args.out_channels - o), nontemporal};
    }
};

// Combines the outer level's products, which come in the order 1, 0, 5, 2, 4, 6, 3, with two sums in memory:
// C11 = m1 + m0, C12 = m2 + (m0 + m5 + m4), C22 = (m0 + m5 + m4) + m6, C21 = (m0 + m5 + m6) - m3.
template <int I> struct OuterAccumulator {
    const LevelSize &outer;
    OutputView out;
    float *partial, *sums; // [outer.rows][outer.out] each

    struct Channels {
        float *partial, *sums;
        int64_t stride, half_rows;
        OutputView::Channels out;
        INLINE void operator()(int64_t p, Vec m) const {
            if (p >= half_rows) return;
            float *partial_p = partial + p * stride, *sums_p = sums + p * stride;
            const Vec before = I == 0 || I == 4 || I == 6 ? load<true>(partial_p, LANES) : Vec{};
            const Vec sum = I >= 3 ? load<true>(sums_p, LANES) : Vec{};
            if (I == 1 || I == 2) store<true>(partial_p, m, LANES);
            if (I == 4) store<true>(partial_p, sum + m, LANES);
            if (I == 0) store<true>(sums_p, m, LANES);
            if (I == 5 || I == 6) store<true>(sums_p, sum + m, LANES);
            if (I == 0 || I == 6) out(p, before + m);
            if (I == 4) out(p, before + (sum + m));
            if (I == 3) out(p, sum - m);
        }
    };

    INLINE Channels channels(int64_t o) const {
        return {partial + o, sums + o, outer.out, outer.rows, out.channels(o)};
    }
};

// Number of micro-kernel calls of `multiply`.
inline int64_t microkernel_calls(const ConvArgs &args, int64_t rows, int levels) {
    LevelSize size = outer_level(args, rows, levels);
    if (levels == 2) size = inner_level(size);
    return (levels == 2 ? PRODUCTS : 1) * PRODUCTS * ::microkernel_calls(size.rows, size.in, size.out);
}

// Number of elements of workspace that `multiply` needs.
inline int64_t workspace_elements(const ConvArgs &args, int64_t rows, int levels) {
    const LevelSize outer = outer_level(args, rows, levels);
    return levels == 2 ? inner_level(outer).workspace_elements() + 2 * outer.rows * outer.out
                       : outer.workspace_elements();
}

// out [rows, out_channels] = (x * input_scale) [rows, in_channels] * weights * output_scale; v is the workspace.
inline void multiply(const ConvArgs &args, const float *x, float *out, int64_t rows, int levels, float *v,
                     Prefetcher &prefetcher) {
    const LevelSize outer = outer_level(args, rows, levels), inner = inner_level(outer);
    const bool nontemporal = args.nontemporal();
    const InputView input{args, x, rows};
    if (levels == 1) {
        multiply_level(outer, input, args.weights, OutputView{args, out, rows, 0, nontemporal}, v, prefetcher);
    } else {
        float *partial = v + inner.workspace_elements(), *sums = partial + outer.rows * outer.out;
        // Product I, which completes the quarter (row, column) of the output, if any.
        auto product = [&](auto index, int64_t row, int64_t column) {
            constexpr int I = decltype(index)::value;
            const OutputView quarter{args, out + row * outer.rows * args.out_stride, rows - row * outer.rows,
                                     column * outer.out, nontemporal};
            multiply_level(inner, OuterFactor<I>{input, outer}, args.weights + I * PRODUCTS * inner.in * inner.out,
                           OuterAccumulator<I>{outer, quarter, partial, sums}, v, prefetcher);
        };
        product(std::integral_constant<int, 1>(), 0, 0);
        product(std::integral_constant<int, 0>(), 0, 0);
        product(std::integral_constant<int, 5>(), 0, 0);
        product(std::integral_constant<int, 2>(), 0, 0);
        product(std::integral_constant<int, 4>(), 0, 1);
        product(std::integral_constant<int, 6>(), 1, 1);
        product(std::integral_constant<int, 3>(), 1, 0);
    }
    if (nontemporal) nontemporal_fence();
}

} // namespace strassen

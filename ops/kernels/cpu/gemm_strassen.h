// The product of pixels with weights in seven eighths of the multiplications, or 49 of 64: Strassen's algorithm in
// Winograd's form, one level or two of it (Strassen, "Gaussian Elimination is not Optimal", Numerische Mathematik 13, 1969;
// the form with fifteen additions: Higham, "Accuracy and Stability of Numerical Algorithms", section 23.1). Some pixels are
// halved into first and second, so are channels and results; seven products of halves give all four quarters of the
// results, and each of the seven may be had in the same way.
// It differs from plain sums by rounding, about 1e-6 of the largest value with one level and 5e-6 with two; what is not
// finite in one pixel spoils those it is together with. Which pixels are together depends on the picture's size alone, so
// that threads do not change a bit.
#pragma once
#include "gemm.h"

namespace strassen {

constexpr int64_t PRODUCTS = 7;
constexpr int64_t TOGETHER = 4 * ROWS_AT_ONCE; // pixels

inline int64_t half_of(int64_t channels) { return (channels + 1) / 2; }
inline int64_t half_of_results(int64_t results) { return up_to((results + 1) / 2, LANES); }
inline int64_t quarter_of_results(int64_t results) { return up_to((results + 3) / 4, LANES); }

// How many levels are worth it, 0 to 2. Additions take time, too, and halves of odd size are filled up.
inline int levels(int64_t results, int64_t channels) {
    const int64_t inside = half_of(channels), none = channels * up_to(results, LANES);
    const int64_t one = PRODUCTS * inside * half_of_results(results); // for half of the pixels
    const int64_t two = PRODUCTS * PRODUCTS * half_of(inside) * quarter_of_results(results); // for a quarter of them
    if (channels >= 320 && results >= 256 && two < 0.95 * 2 * one) return 2;
    return channels >= 192 && results >= 128 && one < 0.92 * 2 * none ? 1 : 0;
}

// The matrices of one level: `rows` pixels are halved, `inside` and `wide` are half the channels and the results.
struct Size {
    int64_t half, inside, wide;
    int64_t row() const { return spaced(inside); }
    int64_t room() const { return PRODUCTS * half * (row() + PANEL); }
};

inline Size outer(const Convolution &job, int64_t rows, int levels) {
    const int64_t wide = levels == 2 ? 2 * quarter_of_results(job.results) : half_of_results(job.results);
    return {half_of(rows), half_of(job.channels), wide};
}

inline Size inner(const Size &all) { return {half_of(all.half), half_of(all.inside), all.wide / 2}; }

inline int64_t packed_size(int64_t results, int64_t channels) {
    const int64_t inside = half_of(channels);
    if (levels(results, channels) == 2) return PRODUCTS * PRODUCTS * half_of(inside) * quarter_of_results(results);
    return PRODUCTS * inside * half_of_results(results);
}

// The seven factors on the side of the weights.
struct WeightFactors {
    float all[PRODUCTS];
    WeightFactors(float b11, float b12, float b21, float b22) {
        const float t1 = b12 - b11, t2 = b22 - t1;
        const float values[PRODUCTS] = {b11, b21, b22, t2 - b21, t1, t2, b22 - b12};
        std::copy(values, values + PRODUCTS, all);
    }
};

// Weights at(channel, result), 0 beyond them, to [panel, product, half of the channels, a panel's results].
template <class At> void pack_level(const At &at, int64_t inside, int64_t wide, float *packed) {
    for (int64_t o = 0; o < wide; o++) {
        const int64_t first = o / PANEL * PANEL, panel = std::min(PANEL, wide - first);
        for (int64_t c = 0; c < inside; c++) {
            const WeightFactors factors(at(c, o), at(c, o + wide), at(c + inside, o), at(c + inside, o + wide));
            for (int64_t i = 0; i < PRODUCTS; i++)
                packed[(PRODUCTS * first + i * panel) * inside + c * panel + o - first] = factors.all[i];
        }
    }
}

// weight [results, channels] as `pack_level` writes it; of two levels, one such after the other.
inline void pack(const float *weight, int64_t results, int64_t channels, float *packed) {
    auto at = [&](int64_t c, int64_t o) { return c < channels && o < results ? weight[o * channels + c] : 0.0f; };
    const int64_t inside = half_of(channels);
    if (levels(results, channels) == 1) return pack_level(at, inside, half_of_results(results), packed);
    const int64_t wide = quarter_of_results(results), deep = half_of(inside);
    for (int64_t i = 0; i < PRODUCTS; i++) {
        auto factor = [&](int64_t c, int64_t o) {
            if (c >= inside) return 0.0f;
            const int64_t right = o + 2 * wide;
            return WeightFactors(at(c, o), at(c, right), at(c + inside, o), at(c + inside, right)).all[i];
        };
        pack_level(factor, deep, wide, packed + i * PRODUCTS * deep * wide);
    }
}

// The seven factors on the side of the pixels.
template <int I> INLINE Vec pixel_factor(Vec a11, Vec a12, Vec a21, Vec a22) {
    if (I == 0) return a11;
    if (I == 1) return a12;
    if (I == 3) return a22;
    if (I == 4) return a21 + a22;
    if (I == 6) return a11 - a21;
    const Vec s2 = a21 + a22 - a11;
    return I == 5 ? s2 : a12 - s2;
}

// The picture as it is, scaled: what a level takes its four quarters from.
struct Picture {
    const Convolution &job;
    const float *x;
    int64_t rows;

    struct Columns {
        const float *x;
        int64_t stride, rows, left;
        Vec scale;
        bool whole(int64_t wanted) const { return rows >= wanted && left >= LANES; }
        template <bool WHOLE> INLINE Vec at(int64_t p) const {
            if (WHOLE) return load<true>(x + p * stride, LANES) * scale;
            return p < rows ? load_up_to(x + p * stride, left) * scale : Vec{};
        }
    };

    // Channels [c, c + LANES), none from `end` on.
    INLINE Columns at(int64_t c, int64_t end) const {
        const int64_t left = std::min(end, job.channels) - c;
        return {x + c, job.x_stride, rows, left, factors(job.scale, c, left)};
    }
};

// The factors of the I-th product of the outer level.
template <int I> struct Factors {
    const Picture &pixels;
    const Size &all;

    struct Columns {
        Picture::Columns left, right;
        int64_t half;
        bool whole(int64_t wanted) const { return half >= wanted && left.whole(2 * half) && right.whole(2 * half); }
        template <bool WHOLE> INLINE Vec at(int64_t p) const {
            if (!WHOLE && p >= half) return Vec{};
            const Vec none = {};
            Vec a11 = I == 1 || I == 3 || I == 4 ? none : left.template at<WHOLE>(p);
            Vec a12 = I == 1 || I == 2 ? right.template at<WHOLE>(p) : none;
            Vec a21 = I == 2 || I >= 4 ? left.template at<WHOLE>(p + half) : none;
            Vec a22 = I >= 2 && I <= 5 ? right.template at<WHOLE>(p + half) : none;
            return pixel_factor<I>(a11, a12, a21, a22);
        }
    };

    INLINE Columns at(int64_t c, int64_t end) const {
        end = std::min(end, all.inside);
        return {pixels.at(c, end), pixels.at(all.inside + c, all.inside + end), all.half};
    }
};

// One level: what `from` gives times the weights, to `to(columns, values of four quarters)`.
template <class From, class To>
void multiply_level(const Size &size, const From &from, const float *weights, const To &to, float *v, Ahead &ahead) {
    const int64_t row = size.row(), half = size.half;
    for (int64_t c = 0; c < size.inside; c += LANES) {
        const auto left = from.at(c, size.inside), right = from.at(size.inside + c, 2 * size.inside);
        auto take = [&](auto sure) {
            constexpr bool WHOLE = decltype(sure)::value;
            for (int64_t p = 0; p < half; p++) {
                const Vec a11 = left.template at<WHOLE>(p), a12 = right.template at<WHOLE>(p);
                const Vec a21 = left.template at<WHOLE>(p + half), a22 = right.template at<WHOLE>(p + half);
                Vec s1 = a21 + a22, s2 = s1 - a11;
                const Vec all[PRODUCTS] = {a11, a12, a12 - s2, a22, s1, s2, a11 - a21};
                UNROLL for (int i = 0; i < PRODUCTS; i++) store<true>(v + (i * half + p) * row + c, all[i], LANES);
            }
        };
        if (left.whole(2 * half) && right.whole(2 * half)) take(std::true_type());
        else take(std::false_type());
    }
    float *products = v + PRODUCTS * half * row;
    for (int64_t o = 0; o < size.wide; o += PANEL) {
        const int64_t panel = std::min(PANEL, size.wide - o);
        for (int64_t i = 0; i < PRODUCTS; i++) {
            Sums sums{products + i * half * PANEL, PANEL};
            multiply_panel(v + i * half * row, row, weights + (PRODUCTS * o + i * panel) * size.inside, size.inside,
                           sums, sums, half, panel, ahead);
        }
        for (int64_t r = o; r < o + panel; r += LANES) {
            const auto left = to.at(r), right = to.at(size.wide + r);
            for (int64_t p = 0; p < half; p++) {
                Vec m[PRODUCTS];
                UNROLL for (int i = 0; i < PRODUCTS; i++)
                    m[i] = load<true>(products + (i * half + p) * PANEL + r - o, LANES);
                Vec u2 = m[0] + m[5], u3 = u2 + m[6], u4 = u2 + m[4];
                left(p, m[0] + m[1]);
                right(p, u4 + m[2]);
                left(p + half, u3 - m[3]);
                right(p + half, u3 + m[4]);
            }
        }
    }
}

// Where results go in the end, with their gains: to a quarter of the results, or to all of them.
struct Results {
    const Convolution &job;
    float *out;
    int64_t rows, first; // of the results
    bool streams;

    struct Columns {
        float *out;
        int64_t stride, rows, count;
        Vec gain;
        bool streams;
        INLINE void operator()(int64_t p, Vec value) const {
            if (count <= 0 || p >= rows) return;
            value *= gain;
            if (streams) stream(out + p * stride, value);
            else if (count >= LANES) store<true>(out + p * stride, value, LANES);
            else store<false>(out + p * stride, value, (int)count);
        }
    };

    INLINE Columns at(int64_t r) const {
        r += first;
        return {out + r, job.out_stride, rows, job.written() - r, factors(job.gain, r, job.results - r), streams};
    }
};

// What becomes of the I-th product of the outer level. They come in the order 1, 0, 5, 2, 4, 6, 3, and two sums are kept:
// C11 = m1 + m0, C12 = m2 + (m0 + m5 + m4), C22 = (m0 + m5 + m4) + m6, C21 = (m0 + m5 + m6) - m3.
template <int I> struct Gathered {
    const Size &all;
    Results out;
    float *kept, *sums; // [half, wide] each

    struct Columns {
        float *kept, *sums;
        int64_t wide, half;
        Results::Columns out;
        INLINE void operator()(int64_t p, Vec m) const {
            if (p >= half) return;
            float *k = kept + p * wide, *s = sums + p * wide;
            const Vec before = I == 0 || I == 4 || I == 6 ? load<true>(k, LANES) : Vec{};
            const Vec sum = I >= 3 ? load<true>(s, LANES) : Vec{};
            if (I == 1 || I == 2) store<true>(k, m, LANES);
            if (I == 4) store<true>(k, sum + m, LANES);
            if (I == 0) store<true>(s, m, LANES);
            if (I == 5 || I == 6) store<true>(s, sum + m, LANES);
            if (I == 0 || I == 6) out(p, before + m);
            if (I == 4) out(p, before + (sum + m));
            if (I == 3) out(p, sum - m);
        }
    };

    INLINE Columns at(int64_t r) const { return {kept + r, sums + r, all.wide, all.half, out.at(r)}; }
};

// How many blocks there are to multiply for so many pixels.
inline int64_t calls(const Convolution &job, int64_t rows, int levels) {
    Size size = outer(job, rows, levels);
    if (levels == 2) size = inner(size);
    return (levels == 2 ? PRODUCTS : 1) * PRODUCTS * blocks_of(size.half, size.inside, size.wide);
}

// How many numbers `multiply_pixels` works with beside the results.
inline int64_t room(const Convolution &job, int64_t rows, int levels) {
    const Size all = outer(job, rows, levels);
    return levels == 2 ? inner(all).room() + 2 * all.half * all.wide : all.room();
}

// out [rows, results] = x [rows, channels] times the weights, and scales and gains.
inline void multiply_pixels(const Convolution &job, const float *x, float *out, int64_t rows, int levels, float *v,
                            Ahead &ahead) {
    const Size all = outer(job, rows, levels), size = inner(all);
    const bool streams = job.streams();
    const Picture pixels{job, x, rows};
    if (levels == 1) {
        multiply_level(all, pixels, job.weights, Results{job, out, rows, 0, streams}, v, ahead);
    } else {
        float *kept = v + size.room(), *sums = kept + all.half * all.wide;
        auto product = [&](auto number, int64_t lower, int64_t right) {
            constexpr int I = decltype(number)::value;
            const Results to{job, out + lower * all.half * job.out_stride, rows - lower * all.half, right * all.wide, streams};
            multiply_level(size, Factors<I>{pixels, all}, job.weights + I * PRODUCTS * size.inside * size.wide,
                           Gathered<I>{all, to, kept, sums}, v, ahead);
        };
        product(std::integral_constant<int, 1>(), 0, 0);
        product(std::integral_constant<int, 0>(), 0, 0);
        product(std::integral_constant<int, 5>(), 0, 0);
        product(std::integral_constant<int, 2>(), 0, 0);
        product(std::integral_constant<int, 4>(), 0, 1);
        product(std::integral_constant<int, 6>(), 1, 1);
        product(std::integral_constant<int, 3>(), 1, 0);
    }
    if (streams) finish_streams();
}

} // namespace strassen

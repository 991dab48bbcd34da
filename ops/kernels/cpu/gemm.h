// What all forms of convolution share: what one call is told, and the multiplication of blocks of matrices.
#pragma once
#include "simd.h"
#include <algorithm>
#include <cstdint>
#include <type_traits>

INLINE int64_t up_to(int64_t number, int64_t multiple) { return (number + multiple - 1) / multiple * multiple; }

constexpr int64_t STREAMED = 8 << 20; // bytes of results that will not be found in the caches, though read at once

// One convolution of a picture in channels_last memory, as convolution.py fills it in. Strides are the numbers from one
// pixel to the next: with room for whole vectors of results, their vectors are written whole.
struct Convolution {
    const float *x, *scale, *gain; // x [height, width, channels]; scales of the channels and of the results, or null
    const float *weights;          // as `pack` writes them
    float *out;                    // [height + 2 padding - (kernel - 1), the same of the width, results]
    int64_t height, width, channels, results, x_stride, out_stride, padding, threads;

    int64_t written() const { return out_stride >= up_to(results, LANES) ? up_to(results, LANES) : results; }

    // Whether results are written past the caches, which takes vectors that are whole cache lines.
    bool streams() const {
        const bool lines = LANES * 4 == 64 && out_stride % LANES == 0 && (uintptr_t)out % 64 == 0;
        return lines && 4 * height * width * out_stride > STREAMED;
    }
};

// A block of the multiplication is so many rows by so many vectors of results, all in registers.
#if defined(__AVX512F__)
constexpr int ROWS_AT_ONCE = 14, COLUMNS_AT_ONCE = 2;
#elif defined(__aarch64__)
constexpr int ROWS_AT_ONCE = 8, COLUMNS_AT_ONCE = 3;
#else
constexpr int ROWS_AT_ONCE = 6, COLUMNS_AT_ONCE = 2;
#endif
constexpr int64_t PANEL = COLUMNS_AT_ONCE * LANES;
constexpr int64_t DEPTH = 256; // channels that are summed up at a time

// From one row to the next in memory of our own: 64 bytes of room, and for long rows as much as makes 128 numbers of
// ROWS_AT_ONCE rows fall on different places of a cache whose ways are of 4096 bytes.
INLINE int64_t spaced(int64_t numbers) {
    int64_t lines = up_to(numbers, 16) / 16 + 1;
    if (lines > 9) lines += (25 - lines % 16) % 16;
    return lines * 16;
}

// How many blocks a product of so many rows has.
INLINE int64_t blocks_of(int64_t rows, int64_t channels, int64_t results) {
    return up_to(rows, ROWS_AT_ONCE) / ROWS_AT_ONCE * (up_to(channels, DEPTH) / DEPTH) * (up_to(results, PANEL) / PANEL);
}

// Up to LANES numbers; none where `count` is not positive.
INLINE Vec load_up_to(const float *from, int64_t count) {
    if (count >= LANES) return load<true>(from, LANES);
    return count > 0 ? load<false>(from, (int)count) : Vec{};
}

// Of the channels or results from `first` on, 1 where there are none.
INLINE Vec factors(const float *values, int64_t first, int64_t count) {
    return values ? load_up_to(values + first, count) : splat(1.0f);
}

// Sums on their way, rows of one panel's width.
struct Sums {
    float *at;
    int64_t row;
};

// Memory that will be read after this multiplication, fetched some lines at a time.
struct Ahead {
    const char *at = nullptr, *end = nullptr;
    int lines = 0;

    INLINE void fetch() {
        for (int i = 0; i < lines && at < end; i++, at += 64) __builtin_prefetch(at, 0, 2);
    }
};

// v [M rows, count] times the panel u [count, N vectors], and `so_far` if there is any, to `to`; of the last vector
// `lanes` are wanted. The weights that come next in memory, `next`, are fetched meanwhile.
template <int M, int N>
INLINE void multiply(const float *v, int64_t v_row, const float *u, int64_t count, Sums so_far, Sums to, int lanes) {
    const float *next = u + count * N * LANES;
    Vec sum[M][N] = {};
    UNROLL for (int i = 0; i < M; i++) // what is written to comes to the caches meanwhile
        UNROLL for (int j = 0; j < N; j++) __builtin_prefetch(to.at + i * to.row + j * LANES, 1, 3);
    for (int64_t c = 0; c < count; c++) {
        Vec w[N];
        UNROLL for (int j = 0; j < N; j++) __builtin_prefetch(next + (c * N + j) * LANES, 0, 2);
        UNROLL for (int j = 0; j < N; j++) w[j] = load<true>(u + (c * N + j) * LANES, LANES);
        UNROLL for (int i = 0; i < M; i++) {
            Vec x = splat(v[i * v_row + c]);
            UNROLL for (int j = 0; j < N; j++) sum[i][j] += x * w[j];
        }
    }
    UNROLL for (int i = 0; i < M; i++)
        UNROLL for (int j = 0; j < N; j++) {
            if (so_far.at) sum[i][j] += load<true>(so_far.at + i * so_far.row + j * LANES, LANES);
            float *at = to.at + i * to.row + j * LANES;
            if (j + 1 < N || lanes == LANES) store<true>(at, sum[i][j], LANES);
            else store<false>(at, sum[i][j], lanes);
        }
}

// The same for all rows and channels. Some channels at a time: their weights stay in the first cache, and sums of sums
// have smaller rounding errors. `between` holds the sums until the last channels are in; it may be where they go.
template <int N>
void multiply_rows(const float *v, int64_t v_row, const float *u, int64_t channels, Sums between, Sums to, int64_t rows, int lanes, Ahead &ahead) {
    for (int64_t c = 0; c < channels; c += DEPTH) {
        int64_t row = 0, count = std::min(DEPTH, channels - c);
        bool last = c + DEPTH >= channels;
        auto some = [&](auto size) {
            constexpr int M = decltype(size)::value;
            for (; row + M <= rows; row += M) {
                Sums kept{between.at + row * between.row, between.row}, out{to.at + row * to.row, to.row};
                ahead.fetch();
                multiply<M, N>(v + row * v_row + c, v_row, u + c * N * LANES, count, c ? kept : Sums{}, last ? out : kept,
                               last ? lanes : LANES);
            }
        };
        some(std::integral_constant<int, ROWS_AT_ONCE>());
        some(std::integral_constant<int, 4>());
        some(std::integral_constant<int, 1>());
    }
}

// v [rows, channels] times one panel u of weights, of whose results `wide` are wanted: at most PANEL.
inline void multiply_panel(const float *v, int64_t v_row, const float *u, int64_t channels, Sums between, Sums to, int64_t rows, int64_t wide, Ahead &ahead) {
    int64_t vectors = (wide + LANES - 1) / LANES;
    int lanes = (int)(wide - (vectors - 1) * LANES);
    if (COLUMNS_AT_ONCE > 2 && vectors >= 3) multiply_rows<COLUMNS_AT_ONCE>(v, v_row, u, channels, between, to, rows, lanes, ahead);
    else if (vectors == 2) multiply_rows<2>(v, v_row, u, channels, between, to, rows, lanes, ahead);
    else multiply_rows<1>(v, v_row, u, channels, between, to, rows, lanes, ahead);
}

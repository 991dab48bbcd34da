// Packed single-precision GEMM: the micro-kernel, its panels, and the arguments that all convolutions share.
//
// C [rows, out] = A [rows, in] * B [in, out]. A: pixels, row after row. B: packed weights, in panels of NR columns (the
// last may be narrower): [panels][in][NR], so that the micro-kernel reads it in order. O(rows * in * out)
// multiply-adds.
//
//              B: packed panel, NR columns
//              +-----------+
//              |           | KC rows at a time: they stay in the first-level cache
//              +-----------+
//     A        C
//     +----+   +-----------+
//     | KC |   |  MR x NR  |  MR * NR / LANES accumulators, all in registers
//     +----+   +-----------+
#pragma once
#include "simd.h"
#include <algorithm>
#include <cstdint>
#include <type_traits>

INLINE int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

constexpr int64_t CONV_NONTEMPORAL_BYTES = 8 << 20; // larger outputs leave the caches before the next op reads them

// One convolution of one image in channels_last memory, as ops/kernels/cpu/convolution.py fills it in. Strides are
// elements from one pixel to the next; an out_stride with room for whole vectors lets whole vectors be stored.
struct ConvArgs {
    const float *x;            // [height, width, in_channels]
    const float *input_scale;  // [in_channels] or null
    const float *output_scale; // [out_channels] or null
    const float *weights;      // packed by pack_weights (conv1x1.h) or filter_transform (conv3x3_winograd.h)
    float *out;                // [height + 2 padding - kernel + 1, width + 2 padding - kernel + 1, out_channels]
    int64_t height, width, in_channels, out_channels, x_stride, out_stride, padding, threads;

    // Channels that are stored: whole vectors where out_stride has room for them.
    int64_t out_channels_padded() const {
        return out_stride >= round_up(out_channels, LANES) ? round_up(out_channels, LANES) : out_channels;
    }

    // Whether outputs are stored past the caches, which takes vectors that are whole, aligned cache lines.
    bool nontemporal() const {
        const bool aligned = LANES * 4 == 64 && out_stride % LANES == 0 && (uintptr_t)out % 64 == 0;
        return aligned && 4 * height * width * out_stride > CONV_NONTEMPORAL_BYTES;
    }
};

// Register tile: MR rows by NR_VECTORS vectors of columns.
#if defined(__AVX512F__)
constexpr int MR = 14, NR_VECTORS = 2;
#elif defined(__aarch64__)
constexpr int MR = 8, NR_VECTORS = 3;
#else
constexpr int MR = 6, NR_VECTORS = 2;
#endif
constexpr int64_t NR = NR_VECTORS * LANES; // columns of a panel
constexpr int64_t KC = 256;                // input channels that are summed up at a time

// Row stride, in elements, for rows of `elements` in the workspace: 64 bytes of padding, and for long rows as much as
// makes 128 elements of each of MR rows fall into different sets of a cache whose ways hold 4096 bytes.
INLINE int64_t padded_stride(int64_t elements) {
    int64_t lines = round_up(elements, 16) / 16 + 1;
    if (lines > 9) lines += (25 - lines % 16) % 16;
    return lines * 16;
}

// Number of micro-kernel calls of a GEMM.
INLINE int64_t microkernel_calls(int64_t rows, int64_t in_channels, int64_t out_channels) {
    return round_up(rows, MR) / MR * (round_up(in_channels, KC) / KC) * (round_up(out_channels, NR) / NR);
}

// Up to LANES elements; zeros beyond `count`, which may be negative.
INLINE Vec load_lanes(const float *from, int64_t count) {
    if (count >= LANES) return load<true>(from, LANES);
    return count > 0 ? load<false>(from, (int)count) : Vec{};
}

// Scales of `count` channels from `first` on; 1 where `scales` is null.
INLINE Vec load_scales(const float *scales, int64_t first, int64_t count) {
    return scales ? load_lanes(scales + first, count) : splat(1.0f);
}

// A matrix of one panel's width in memory.
struct Tile {
    float *data;
    int64_t stride; // elements from one row to the next
};

// Memory that will be read after this GEMM, prefetched a few cache lines per micro-kernel call.
struct Prefetcher {
    const char *next = nullptr, *end = nullptr;
    int lines_per_call = 0;

    INLINE void prefetch() {
        for (int i = 0; i < lines_per_call && next < end; i++, next += 64) __builtin_prefetch(next, 0, 2);
    }
};

// c = a [M, k] * b [k, N vectors] (+ accumulate_from, unless its data is null). Of the last vector of c, `tail_lanes`
// lanes are stored. M <= MR rows, N <= NR_VECTORS. The weights that follow b in memory are prefetched.
template <int M, int N>
INLINE void gemm_microkernel(const float *a, int64_t a_stride, const float *b, int64_t k, Tile accumulate_from, Tile c,
                             int tail_lanes) {
    const float *next_b = b + k * N * LANES;
    Vec sum[M][N] = {};
    UNROLL for (int i = 0; i < M; i++) // c comes into the caches meanwhile
        UNROLL for (int j = 0; j < N; j++) __builtin_prefetch(c.data + i * c.stride + j * LANES, 1, 3);
    for (int64_t p = 0; p < k; p++) {
        Vec w[N];
        UNROLL for (int j = 0; j < N; j++) __builtin_prefetch(next_b + (p * N + j) * LANES, 0, 2);
        UNROLL for (int j = 0; j < N; j++) w[j] = load<true>(b + (p * N + j) * LANES, LANES);
        UNROLL for (int i = 0; i < M; i++) {
            Vec x = splat(a[i * a_stride + p]);
            UNROLL for (int j = 0; j < N; j++) sum[i][j] += x * w[j];
        }
    }
    UNROLL for (int i = 0; i < M; i++)
        UNROLL for (int j = 0; j < N; j++) {
            if (accumulate_from.data)
                sum[i][j] += load<true>(accumulate_from.data + i * accumulate_from.stride + j * LANES, LANES);
            float *to = c.data + i * c.stride + j * LANES;
            if (j + 1 < N || tail_lanes == LANES) store<true>(to, sum[i][j], LANES);
            else store<false>(to, sum[i][j], tail_lanes);
        }
}

// c [rows, N vectors] = a [rows, in_channels] * b, KC channels at a time: their weights stay in the first-level cache,
// and sums of partial sums have smaller rounding errors. `partial` [rows, N vectors] holds the sums until the last
// channels are in; it may be c itself.
template <int N>
void gemm_rows(const float *a, int64_t a_stride, const float *b, int64_t in_channels, Tile partial, Tile c,
               int64_t rows, int tail_lanes, Prefetcher &prefetcher) {
    for (int64_t p = 0; p < in_channels; p += KC) {
        int64_t row = 0, k = std::min(KC, in_channels - p);
        bool last = p + KC >= in_channels;
        auto run_blocks_of = [&](auto size) {
            constexpr int M = decltype(size)::value;
            for (; row + M <= rows; row += M) {
                Tile sums{partial.data + row * partial.stride, partial.stride}, out{c.data + row * c.stride, c.stride};
                prefetcher.prefetch();
                gemm_microkernel<M, N>(a + row * a_stride + p, a_stride, b + p * N * LANES, k, p ? sums : Tile{},
                                       last ? out : sums, last ? tail_lanes : LANES);
            }
        };
        run_blocks_of(std::integral_constant<int, MR>());
        run_blocks_of(std::integral_constant<int, 4>());
        run_blocks_of(std::integral_constant<int, 1>());
    }
}

// c [rows, columns] = a [rows, in_channels] * one packed panel b, with columns <= NR. See gemm_rows.
inline void gemm_panel(const float *a, int64_t a_stride, const float *b, int64_t in_channels, Tile partial, Tile c,
                       int64_t rows, int64_t columns, Prefetcher &prefetcher) {
    int64_t vectors = (columns + LANES - 1) / LANES;
    int tail_lanes = (int)(columns - (vectors - 1) * LANES);
    if (NR_VECTORS > 2 && vectors >= 3)
        gemm_rows<NR_VECTORS>(a, a_stride, b, in_channels, partial, c, rows, tail_lanes, prefetcher);
    else if (vectors == 2) gemm_rows<2>(a, a_stride, b, in_channels, partial, c, rows, tail_lanes, prefetcher);
    else gemm_rows<1>(a, a_stride, b, in_channels, partial, c, rows, tail_lanes, prefetcher);
}

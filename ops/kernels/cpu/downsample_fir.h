// Micro-kernels that downsample rows of vectors: FIR filter and decimation, horizontally and vertically.
//
// Only the outputs that are kept are computed. Cost: `taps` multiply-adds per output and axis; half the products where
// the filter is symmetric, three quarters with FFA (see upsample_fir.h).
//
// Template parameters: DOWN: downsampling factor. TAPS: taps of the filter. OUTPUTS: neighboring outputs per loop
// iteration. ROWS: output rows per call. SYMMETRIC: rows r and last - r of a 2-D filter are equal. DOWN = TAPS = 0 in
// downsample_vertical: factors known at run time only.
//
// Each output is summed in the same order however the loops are cut, so that results depend on neither tiles nor
// threads.
#pragma once
#include "upsample_fir.h"

// Arguments of the horizontal pass, which makes out_rows rows from a 2-D filter, or one row from a separable one:
// out[p][x] = sum over rows r and taps k of taps[r][k] * rows[p * row_step + r][x * down + k].
// SYMMETRIC: rows r and last_row - r of the filter are equal, their inputs are added first, and row_count is half.
struct DownsampleRowArgs {
    const Vec *const *rows; // [(out_rows - 1) * row_step + last_row + 1] pointers to vectors, in order
    const float *taps;      // [row_count][tap_count]
    int row_count, last_row, row_step, down, tap_count, columns, out_rows;
    Vec *out; // [out_rows][out_stride]
    int out_stride;
};

// All output rows of OUTPUTS columns from x on, so that their inputs are still in the first-level cache for the next
// row.
template <int DOWN, int TAPS, int OUTPUTS, bool SYMMETRIC>
INLINE void downsample_horizontal_columns(const DownsampleRowArgs &args, int x) {
    for (int p = 0; p < args.out_rows; p++) {
        const Vec *const *rows = args.rows + p * args.row_step;
        Vec sum[OUTPUTS] = {};
        for (int r = 0; r < args.row_count; r++) {
            const Vec *row = rows[r] + x * DOWN;
            const Vec *mirrored = SYMMETRIC ? rows[args.last_row - r] + x * DOWN : row;
            const float *taps = args.taps + r * TAPS;
            UNROLL for (int s = 0; s < (OUTPUTS - 1) * DOWN + TAPS; s++) {
                Vec v = SYMMETRIC ? row[s] + mirrored[s] : row[s];
                UNROLL for (int i = 0; i < OUTPUTS; i++)
                    if (s >= i * DOWN && s < i * DOWN + TAPS) sum[i] += splat(taps[s - i * DOWN]) * v;
            }
        }
        UNROLL for (int i = 0; i < OUTPUTS; i++) args.out[p * args.out_stride + x + i] = sum[i];
    }
}

// FFA for down = 2, 12 taps and symmetric rows: even inputs meet even taps and odd inputs odd taps, which are two
// filters of 6 taps each. taps [row_count][2][FFA_TAPS].
template <int OUTPUTS> INLINE void downsample_horizontal_ffa_columns(const DownsampleRowArgs &args, int x) {
    constexpr int PAIRS = OUTPUTS / 2;
    for (int p = 0; p < args.out_rows; p++) {
        const Vec *const *rows = args.rows + p * args.row_step;
        Vec shared[PAIRS] = {}, even[PAIRS] = {}, odd[PAIRS] = {};
        for (int r = 0; r < args.row_count; r++) {
            const Vec *row = rows[r] + x * 2, *mirrored = rows[args.last_row - r] + x * 2;
            UNROLL for (int phase = 0; phase < 2; phase++) {
                const float *taps = args.taps + (2 * r + phase) * FFA_TAPS;
                Vec x_even = keep_in_register(row[phase]) + mirrored[phase];
                UNROLL for (int m = 0; m < PAIRS + 2; m++) {
                    const int s = 4 * m + phase;
                    Vec x_odd = keep_in_register(row[s + 2]) + mirrored[s + 2];
                    Vec x_next = keep_in_register(row[s + 4]) + mirrored[s + 4];
                    Vec x_even_minus_odd = x_even - x_odd, x_next_minus_odd = x_next - x_odd;
                    UNROLL for (int k = 0; k < 3; k++) {
                        const int i = m - k;
                        if (i < 0 || i >= PAIRS) continue;
                        shared[i] += splat(taps[k]) * x_odd;
                        even[i] += splat(taps[3 + k]) * x_even_minus_odd;
                        odd[i] += splat(taps[6 + k]) * x_next_minus_odd;
                    }
                    x_even = x_next;
                }
            }
        }
        UNROLL for (int i = 0; i < PAIRS; i++) {
            args.out[p * args.out_stride + x + 2 * i] = shared[i] + even[i];
            args.out[p * args.out_stride + x + 2 * i + 1] = shared[i] + odd[i];
        }
    }
}

inline void downsample_horizontal_ffa(const DownsampleRowArgs &args) {
    int x = 0;
    for (; x + 8 <= args.columns; x += 8) downsample_horizontal_ffa_columns<8>(args, x);
    for (; x < args.columns; x += COLUMN_MULTIPLE) downsample_horizontal_ffa_columns<COLUMN_MULTIPLE>(args, x);
}

// Symmetric filter: samples that share a tap are added first, which halves the products.
// sum[i] = sum over k < TAPS / 2 of taps[k] * (x[i * DOWN + k] + x[i * DOWN + TAPS - 1 - k]).
template <int DOWN, int TAPS, int OUTPUTS> INLINE void downsample_symmetric(const Vec *x, const float *taps, Vec *sum) {
    UNROLL for (int i = 0; i < OUTPUTS; i++) {
        sum[i] = Vec{};
        UNROLL for (int k = 0; k < TAPS / 2; k++)
            sum[i] += splat(taps[k]) * (x[i * DOWN + k] + x[i * DOWN + TAPS - 1 - k]);
    }
}

// The horizontal pass of a separable, symmetric filter.
template <int DOWN, int TAPS> void downsample_horizontal_symmetric(const DownsampleRowArgs &args) {
    for (int x = 0; x < args.columns; x += COLUMN_MULTIPLE) {
        const Vec *row = args.rows[0] + x * DOWN;
        Vec v[(COLUMN_MULTIPLE - 1) * DOWN + TAPS], sum[COLUMN_MULTIPLE];
        UNROLL for (int s = 0; s < (COLUMN_MULTIPLE - 1) * DOWN + TAPS; s++) v[s] = keep_in_register(row[s]);
        downsample_symmetric<DOWN, TAPS, COLUMN_MULTIPLE>(v, args.taps, sum);
        UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++) args.out[x + i] = sum[i];
    }
}

template <int DOWN, int TAPS, int OUTPUTS, bool SYMMETRIC> void downsample_horizontal(const DownsampleRowArgs &args) {
    int x = 0;
    for (; x + OUTPUTS <= args.columns; x += OUTPUTS)
        downsample_horizontal_columns<DOWN, TAPS, OUTPUTS, SYMMETRIC>(args, x);
    for (; x < args.columns; x += COLUMN_MULTIPLE)
        downsample_horizontal_columns<DOWN, TAPS, COLUMN_MULTIPLE, SYMMETRIC>(args, x);
}

template <bool SYMMETRIC> void downsample_horizontal_generic(const DownsampleRowArgs &args) {
    for (int p = 0; p < args.out_rows; p++)
        for (int x = 0; x < args.columns; x++) {
            Vec sum = {};
            for (int r = 0; r < args.row_count; r++) {
                const int first = p * args.row_step;
                const Vec *row = args.rows[first + r] + x * args.down;
                const Vec *mirrored = SYMMETRIC ? args.rows[first + args.last_row - r] + x * args.down : row;
                for (int k = 0; k < args.tap_count; k++)
                    sum += splat(args.taps[r * args.tap_count + k]) * (SYMMETRIC ? row[k] + mirrored[k] : row[k]);
            }
            args.out[p * args.out_stride + x] = sum;
        }
}

typedef void (*DownsampleRowFn)(const DownsampleRowArgs &);

// symmetric_rows: of a 2-D filter; symmetric: a separable filter that is symmetric along both axes.
inline DownsampleRowFn select_downsample_horizontal(int down, int taps, bool symmetric_rows, bool symmetric) {
    if (down == 2 && taps == 12 && symmetric) return downsample_horizontal_symmetric<2, 12>;
    if (down == 2 && taps == 12)
        return symmetric_rows ? downsample_horizontal<2, 12, 8, true> : downsample_horizontal<2, 12, 8, false>;
    if (down == 4 && taps == 24)
        return symmetric_rows ? downsample_horizontal<4, 24, 4, true> : downsample_horizontal<4, 24, 4, false>;
    if (down == 2 && taps == 4)
        return symmetric_rows ? downsample_horizontal<2, 4, 8, true> : downsample_horizontal<2, 4, 8, false>;
    if (down == 1 && taps == 4)
        return symmetric_rows ? downsample_horizontal<1, 4, 8, true> : downsample_horizontal<1, 4, 8, false>;
    if (down == 1 && taps == 1) return downsample_horizontal<1, 1, 8, false>;
    return symmetric_rows ? downsample_horizontal_generic<true> : downsample_horizontal_generic<false>;
}

// Arguments of the vertical pass, which makes ROWS output rows:
// out[p][x] = sum over k of taps[k] * rows[p * down + k][x].
struct DownsampleColumnArgs {
    const Vec *const *rows; // [(ROWS - 1) * down + tap_count] pointers to [columns] vectors
    const float *taps;      // [tap_count]
    int down, tap_count, columns;
    Vec *out; // [ROWS][out_stride]
    int out_stride;
};

template <int DOWN, int TAPS, int ROWS> void downsample_vertical(const DownsampleColumnArgs &args) {
    for (int x = 0; x < args.columns; x += COLUMN_MULTIPLE) {
        Vec sum[ROWS * COLUMN_MULTIPLE] = {};
        const int down = DOWN ? DOWN : args.down, tap_count = TAPS ? TAPS : args.tap_count;
        if (DOWN) {
            UNROLL for (int s = 0; s < (ROWS - 1) * DOWN + TAPS; s++) {
                const Vec *row = args.rows[s] + x;
                UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++) {
                    Vec v = keep_in_register(row[i]);
                    UNROLL for (int p = 0; p < ROWS; p++)
                        if (s >= p * DOWN && s < p * DOWN + TAPS)
                            sum[p * COLUMN_MULTIPLE + i] += splat(args.taps[s - p * DOWN]) * v;
                }
            }
        } else {
            for (int p = 0; p < ROWS; p++)
                for (int k = 0; k < tap_count; k++) {
                    const Vec *row = args.rows[p * down + k] + x;
                    UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++)
                        sum[p * COLUMN_MULTIPLE + i] += splat(args.taps[k]) * row[i];
                }
        }
        UNROLL for (int p = 0; p < ROWS; p++)
            UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++)
                args.out[p * args.out_stride + x + i] = sum[p * COLUMN_MULTIPLE + i];
    }
}

template <int DOWN, int TAPS, int ROWS> void downsample_vertical_symmetric(const DownsampleColumnArgs &args) {
    for (int x = 0; x < args.columns; x++) {
        Vec v[(ROWS - 1) * DOWN + TAPS], sum[ROWS];
        UNROLL for (int s = 0; s < (ROWS - 1) * DOWN + TAPS; s++) v[s] = keep_in_register(args.rows[s][x]);
        downsample_symmetric<DOWN, TAPS, ROWS>(v, args.taps, sum);
        UNROLL for (int p = 0; p < ROWS; p++) args.out[p * args.out_stride + x] = sum[p];
    }
}

typedef void (*DownsampleColumnFn)(const DownsampleColumnArgs &);

constexpr int MAX_OUTPUT_ROWS = 4; // the vertical pass makes up to this many rows per call

template <int ROWS> DownsampleColumnFn select_downsample_vertical(int down, int taps, bool symmetric) {
    if (down == 2 && taps == 12 && symmetric) return downsample_vertical_symmetric<2, 12, ROWS>;
    if (down == 2 && taps == 12) return downsample_vertical<2, 12, ROWS>;
    if (down == 4 && taps == 24) return downsample_vertical<4, 24, ROWS>;
    return downsample_vertical<0, 0, ROWS>;
}

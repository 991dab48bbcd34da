// The inner loops that lower: rows of vectors, filtered along and across. Each output is summed in the same order however
// the loops are cut, so that neither tiles nor threads show in the result.
#pragma once
#include "upsample_fir.h"

// Lower along the rows: out[p][x] = sum over rows r and taps k of taps[r][k] * rows[p * step + r][x * D + k]. Where it
// folds, row r and row last - r have the same taps and are added first, and row_count is half.
struct Lower {
    const Vec *const *rows;
    const float *taps;
    int row_count, last, step, down, count, columns, made; // count: taps; made: how many p
    Vec *out;                                              // row after row, `stride` vectors apart
    int stride;
};

template <int D, int T, int O, bool FOLD> INLINE void lower_some(const Lower &job, int x) {
    // All rows of outputs for a few columns, so that the inputs are still at hand for the next row.
    for (int p = 0; p < job.made; p++) {
        const Vec *const *rows = job.rows + p * job.step;
        Vec sum[O] = {};
        for (int r = 0; r < job.row_count; r++) {
            const Vec *row = rows[r] + x * D;
            const Vec *other = FOLD ? rows[job.last - r] + x * D : row;
            const float *taps = job.taps + r * T;
            UNROLL for (int s = 0; s < (O - 1) * D + T; s++) {
                Vec v = FOLD ? row[s] + other[s] : row[s];
                UNROLL for (int i = 0; i < O; i++)
                    if (s >= i * D && s < i * D + T) sum[i] += splat(taps[s - i * D]) * v;
            }
        }
        UNROLL for (int i = 0; i < O; i++) job.out[p * job.stride + x + i] = sum[i];
    }
}

// The same for rows that fold and 12 taps, as quickly as `raise_quickly`: even samples go with even taps and odd ones with
// odd taps, and each of the two is a filter of 6 taps.
template <int O> INLINE void lower_quickly_some(const Lower &job, int x) {
    constexpr int PAIRS = O / 2;
    for (int p = 0; p < job.made; p++) {
        const Vec *const *rows = job.rows + p * job.step;
        Vec both[PAIRS] = {}, even[PAIRS] = {}, odd[PAIRS] = {};
        for (int r = 0; r < job.row_count; r++) {
            const Vec *row = rows[r] + x * 2, *other = rows[job.last - r] + x * 2;
            UNROLL for (int phase = 0; phase < 2; phase++) {
                const float *taps = job.taps + (2 * r + phase) * QUICK_TAPS;
                Vec here = held(row[phase]) + other[phase];
                UNROLL for (int m = 0; m < PAIRS + 2; m++) {
                    const int s = 4 * m + phase;
                    Vec middle = held(row[s + 2]) + other[s + 2], next = held(row[s + 4]) + other[s + 4];
                    Vec falls = here - middle, rises = next - middle;
                    UNROLL for (int k = 0; k < 3; k++) {
                        const int i = m - k;
                        if (i < 0 || i >= PAIRS) continue;
                        both[i] += splat(taps[k]) * middle;
                        even[i] += splat(taps[3 + k]) * falls;
                        odd[i] += splat(taps[6 + k]) * rises;
                    }
                    here = next;
                }
            }
        }
        UNROLL for (int i = 0; i < PAIRS; i++) {
            job.out[p * job.stride + x + 2 * i] = both[i] + even[i];
            job.out[p * job.stride + x + 2 * i + 1] = both[i] + odd[i];
        }
    }
}

inline void lower_quickly(const Lower &job) {
    int x = 0;
    for (; x + 8 <= job.columns; x += 8) lower_quickly_some<8>(job, x);
    for (; x < job.columns; x += COLUMNS) lower_quickly_some<COLUMNS>(job, x);
}

// A filter that is even: samples that share a tap are added first, which halves the products.
// sum[i] = sum over k of taps[k] * (v[i * D + k] + v[i * D + T - 1 - k]).
template <int D, int T, int O> INLINE void lower_even(const Vec *v, const float *taps, Vec *sum) {
    UNROLL for (int i = 0; i < O; i++) {
        sum[i] = Vec{};
        UNROLL for (int k = 0; k < T / 2; k++) sum[i] += splat(taps[k]) * (v[i * D + k] + v[i * D + T - 1 - k]);
    }
}

// Of one row.
template <int D, int T> void lower_even_along(const Lower &job) {
    for (int x = 0; x < job.columns; x += COLUMNS) {
        const Vec *row = job.rows[0] + x * D;
        Vec v[(COLUMNS - 1) * D + T], sum[COLUMNS];
        UNROLL for (int s = 0; s < (COLUMNS - 1) * D + T; s++) v[s] = held(row[s]);
        lower_even<D, T, COLUMNS>(v, job.taps, sum);
        UNROLL for (int i = 0; i < COLUMNS; i++) job.out[x + i] = sum[i];
    }
}

template <int D, int T, int O, bool FOLD> void lower_along(const Lower &job) {
    int x = 0;
    for (; x + O <= job.columns; x += O) lower_some<D, T, O, FOLD>(job, x);
    for (; x < job.columns; x += COLUMNS) lower_some<D, T, COLUMNS, FOLD>(job, x);
}

template <bool FOLD> void lower_along_any(const Lower &job) {
    for (int p = 0; p < job.made; p++)
        for (int x = 0; x < job.columns; x++) {
            Vec sum = {};
            for (int r = 0; r < job.row_count; r++) {
                const Vec *row = job.rows[p * job.step + r] + x * job.down;
                const Vec *other = FOLD ? job.rows[p * job.step + job.last - r] + x * job.down : row;
                for (int k = 0; k < job.count; k++)
                    sum += splat(job.taps[r * job.count + k]) * (FOLD ? row[k] + other[k] : row[k]);
            }
            job.out[p * job.stride + x] = sum;
        }
}

typedef void (*LowerPass)(const Lower &);

inline LowerPass choose_lower(int down, int taps, bool fold, bool even) {
    if (down == 2 && taps == 12 && even) return lower_even_along<2, 12>;
    if (down == 2 && taps == 12) return fold ? lower_along<2, 12, 8, true> : lower_along<2, 12, 8, false>;
    if (down == 4 && taps == 24) return fold ? lower_along<4, 24, 4, true> : lower_along<4, 24, 4, false>;
    if (down == 2 && taps == 4) return fold ? lower_along<2, 4, 8, true> : lower_along<2, 4, 8, false>;
    if (down == 1 && taps == 4) return fold ? lower_along<1, 4, 8, true> : lower_along<1, 4, 8, false>;
    if (down == 1 && taps == 1) return lower_along<1, 1, 8, false>;
    return fold ? lower_along_any<true> : lower_along_any<false>;
}

// Lower across the rows, MADE rows of outputs at once: out[p][x] = sum over k of taps[k] * rows[p * D + k][x].
struct LowerAcross {
    const Vec *const *rows;
    const float *taps;
    int down, count, columns;
    Vec *out; // row after row, `stride` vectors apart
    int stride;
};

template <int D, int T, int MADE> void lower_across(const LowerAcross &job) {
    for (int x = 0; x < job.columns; x += COLUMNS) {
        Vec sum[MADE * COLUMNS] = {};
        const int down = D ? D : job.down, count = T ? T : job.count;
        if (D) {
            UNROLL for (int s = 0; s < (MADE - 1) * D + T; s++) {
                const Vec *row = job.rows[s] + x;
                UNROLL for (int i = 0; i < COLUMNS; i++) {
                    Vec v = held(row[i]);
                    UNROLL for (int p = 0; p < MADE; p++)
                        if (s >= p * D && s < p * D + T) sum[p * COLUMNS + i] += splat(job.taps[s - p * D]) * v;
                }
            }
        } else {
            for (int p = 0; p < MADE; p++)
                for (int k = 0; k < count; k++) {
                    const Vec *row = job.rows[p * down + k] + x;
                    UNROLL for (int i = 0; i < COLUMNS; i++) sum[p * COLUMNS + i] += splat(job.taps[k]) * row[i];
                }
        }
        UNROLL for (int p = 0; p < MADE; p++)
            UNROLL for (int i = 0; i < COLUMNS; i++) job.out[p * job.stride + x + i] = sum[p * COLUMNS + i];
    }
}

template <int D, int T, int MADE> void lower_even_across(const LowerAcross &job) {
    for (int x = 0; x < job.columns; x++) {
        Vec v[(MADE - 1) * D + T], sum[MADE];
        UNROLL for (int s = 0; s < (MADE - 1) * D + T; s++) v[s] = held(job.rows[s][x]);
        lower_even<D, T, MADE>(v, job.taps, sum);
        UNROLL for (int p = 0; p < MADE; p++) job.out[p * job.stride + x] = sum[p];
    }
}

typedef void (*LowerAcrossPass)(const LowerAcross &);

constexpr int ROWS = 4; // most rows of outputs that are lowered across at once

template <int MADE> LowerAcrossPass choose_lower_across(int down, int taps, bool even) {
    if (down == 2 && taps == 12 && even) return lower_even_across<2, 12, MADE>;
    if (down == 2 && taps == 12) return lower_across<2, 12, MADE>;
    if (down == 4 && taps == 24) return lower_across<4, 24, MADE>;
    return lower_across<0, 0, MADE>;
}

// The inner loops: rows of vectors raised, bent by the activation, lowered. Each output is summed in the same order
// however the loops are cut, so that neither tiles nor threads show in the result.
#pragma once
#include "vectors.h"

// The pointwise part: t -> clamp(leaky(t)).
struct Kink {
    float slope, clamp;
    bool bends, clamps;
};

// GENTLY is BENT for slopes from 0 to 1, which takes one step less.
enum { PLAIN, GENTLY, BENT, CLAMPED, HOWS };

template <int HOW> INLINE Vec bend(Vec t, Vec slope, Vec high) {
    if (HOW == PLAIN) return t;
    if (HOW == GENTLY) return larger(t * slope, t);
    t = t > 0.0f ? t : t * slope;
    if (HOW == CLAMPED) t = t > high ? high : (t < -high ? -high : t);
    return t;
}

// t becomes v times the derivative of the pointwise part at t.
inline void multiply_slope(Vec *t, const Vec *v, int count, const Kink &kink, bool may_clamp) {
    Vec slope = splat(kink.slope), high = splat(kink.clamp);
    for (int i = 0; i < count; i++) {
        Vec rate = t[i] > 0.0f ? splat(1.0f) : slope;
        if (kink.clamps && may_clamp) rate = magnitude(t[i] * rate) > high ? Vec{} : rate;
        t[i] = rate * v[i];
    }
}

// Raise along the rows. Outputs come in groups of U that see the same K samples:
// out[g * U + u] = sum over rows r and taps k of taps[r][u][k] * rows[r][g + k].
struct Raise {
    const Vec *const *rows;
    const float *taps;
    int row_count, up, reach, groups; // reach is K
    Vec *out;
    Vec slope, high;
};

template <int U, int K, int G, int HOW> void raise_along(const Raise &job) {
    for (int g = 0; g < job.groups; g += G) {
        Vec sum[G * U] = {};
        for (int r = 0; r < job.row_count; r++) {
            const Vec *row = job.rows[r] + g;
            const float *taps = job.taps + r * U * K;
            UNROLL for (int s = 0; s < G + K - 1; s++) {
                Vec v = row[s];
                UNROLL for (int i = 0; i < G; i++) {
                    if (s < i || s >= i + K) continue;
                    UNROLL for (int u = 0; u < U; u++) sum[i * U + u] += splat(taps[u * K + s - i]) * v;
                }
            }
        }
        UNROLL for (int i = 0; i < G * U; i++) job.out[g * U + i] = bend<HOW>(sum[i], job.slope, job.high);
    }
}

// The same of one row and 6 taps, with three products where there were four. Of two neighbours, one sees with the even
// taps H what the other sees with the odd ones H', so that they share a part: with X and X' the even and odd samples,
// y = (H + H') X' + H (X - X') and y' = (H + H') X' + H' (X[+1] - X'), a fast FIR algorithm (Parker and Parhi 1997,
// "Low-area/power parallel FIR digital filter implementations"). It takes the registers of AVX-512.
// The taps of each output are three of H + H', three of H and three of H'.
constexpr int QUICK_TAPS = 9;
constexpr bool QUICK = LANES == 16;

template <int U, int G, int HOW> void raise_quickly(const Raise &job) {
    constexpr int PAIRS = G / 2;
    for (int g = 0; g < job.groups; g += G) {
        const Vec *row = job.rows[0] + g;
        Vec both[PAIRS * U] = {}, even[PAIRS * U] = {}, odd[PAIRS * U] = {};
        Vec here = row[0];
        UNROLL for (int m = 0; m < PAIRS + 2; m++) {
            Vec middle = held(row[2 * m + 1]), next = held(row[2 * m + 2]);
            Vec falls = here - middle, rises = next - middle;
            UNROLL for (int k = 0; k < 3; k++) {
                const int i = m - k;
                if (i < 0 || i >= PAIRS) continue;
                UNROLL for (int u = 0; u < U; u++) {
                    const float *taps = job.taps + u * QUICK_TAPS + k;
                    both[i * U + u] += splat(taps[0]) * middle;
                    even[i * U + u] += splat(taps[3]) * falls;
                    odd[i * U + u] += splat(taps[6]) * rises;
                }
            }
            here = next;
        }
        UNROLL for (int i = 0; i < PAIRS; i++)
            UNROLL for (int u = 0; u < U; u++) {
                Vec shared = both[i * U + u], *out = job.out + (g + 2 * i) * U + u;
                out[0] = bend<HOW>(shared + even[i * U + u], job.slope, job.high);
                out[U] = bend<HOW>(shared + odd[i * U + u], job.slope, job.high);
            }
    }
}

template <int HOW> void raise_along_any(const Raise &job) {
    for (int g = 0; g < job.groups; g++)
        for (int u = 0; u < job.up; u++) {
            Vec sum = {};
            for (int r = 0; r < job.row_count; r++) {
                const Vec *row = job.rows[r] + g;
                const float *taps = job.taps + (r * job.up + u) * job.reach;
                for (int k = 0; k < job.reach; k++) sum += splat(taps[k]) * row[k];
            }
            job.out[g * job.up + u] = bend<HOW>(sum, job.slope, job.high);
        }
}

constexpr int GROUPS = 4; // the groups of a row are rounded up to a multiple

typedef void (*RaisePass)(const Raise &);

template <int HOW> RaisePass choose_raise(int up, int reach, bool quick) {
    if (quick && up == 2) return raise_quickly<2, 4, HOW>;
    if (quick && up == 4) return raise_quickly<4, 2, HOW>;
    if (up == 2 && reach == 6) return raise_along<2, 6, 4, HOW>;
    if (up == 4 && reach == 6) return raise_along<4, 6, 2, HOW>;
    if (up == 2 && reach == 2) return raise_along<2, 2, 4, HOW>;
    if (up == 1 && reach == 1) return raise_along<1, 1, 4, HOW>;
    return raise_along_any<HOW>;
}

// Raise across the rows: out[u][x] = sum over k of taps[u][k] * rows[k][x], for all phases u of one group.
struct RaiseAcross {
    const Vec *const *rows;
    const float *taps;
    int up, reach, columns;
    Vec *out; // phase after phase, `stride` vectors apart
    int stride;
};

constexpr int COLUMNS = 4; // the columns of a row are rounded up to a multiple

template <int U, int K> void raise_across(const RaiseAcross &job) {
    const int up = U ? U : job.up, reach = K ? K : job.reach;
    for (int x = 0; x < job.columns; x += COLUMNS) {
        if (U && K) {
            Vec sum[(U ? U : 1) * COLUMNS] = {};
            UNROLL for (int k = 0; k < K; k++) {
                const Vec *row = job.rows[k] + x;
                UNROLL for (int i = 0; i < COLUMNS; i++) {
                    Vec v = held(row[i]);
                    UNROLL for (int u = 0; u < U; u++) sum[u * COLUMNS + i] += splat(job.taps[u * K + k]) * v;
                }
            }
            UNROLL for (int u = 0; u < U; u++)
                UNROLL for (int i = 0; i < COLUMNS; i++) job.out[u * job.stride + x + i] = sum[u * COLUMNS + i];
        } else {
            for (int u = 0; u < up; u++) {
                Vec sum[COLUMNS] = {};
                for (int k = 0; k < reach; k++) {
                    const Vec *row = job.rows[k] + x;
                    UNROLL for (int i = 0; i < COLUMNS; i++) sum[i] += splat(job.taps[u * reach + k]) * row[i];
                }
                UNROLL for (int i = 0; i < COLUMNS; i++) job.out[u * job.stride + x + i] = sum[i];
            }
        }
    }
}

typedef void (*RaiseAcrossPass)(const RaiseAcross &);

inline RaiseAcrossPass choose_raise_across(int up, int reach) {
    if (up == 2 && reach == 6) return raise_across<2, 6>;
    if (up == 4 && reach == 6) return raise_across<4, 6>;
    return raise_across<0, 0>;
}

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

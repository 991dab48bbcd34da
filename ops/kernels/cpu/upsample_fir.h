// The inner loops that raise: rows of vectors, filtered across and along and bent. Each output is summed in the same
// order however the loops are cut, so that neither tiles nor threads show in the result.
#pragma once
#include "activation.h"

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
// The taps of each output are three of H + H', three of H and three of H'. Differences of what is infinite are no numbers,
// so that signals from QUICK_BELOW on take the usual way, and infinity is clamped.
constexpr int QUICK_TAPS = 9;
constexpr bool QUICK = LANES == 16;
constexpr float QUICK_BELOW = 1e37f;

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

template <int HOW> RaisePass choose_raise(int up, int reach) {
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

// The same of 6 taps and 2 phases for two groups, the second of which begins a row later, as quickly as `raise_quickly`:
// even rows go together, and odd ones. out: the phases of the first group, then those of the second.
inline void raise_across_quickly(const RaiseAcross &job) {
    for (int x = 0; x < job.columns; x += COLUMNS) {
        Vec both[2 * COLUMNS] = {}, even[2 * COLUMNS] = {}, odd[2 * COLUMNS] = {};
        UNROLL for (int k = 0; k < 3; k++)
            UNROLL for (int i = 0; i < COLUMNS; i++) {
                Vec middle = held(job.rows[2 * k + 1][x + i]);
                Vec falls = job.rows[2 * k][x + i] - middle, rises = job.rows[2 * k + 2][x + i] - middle;
                UNROLL for (int u = 0; u < 2; u++) {
                    const float *taps = job.taps + u * QUICK_TAPS + k;
                    both[u * COLUMNS + i] += splat(taps[0]) * middle;
                    even[u * COLUMNS + i] += splat(taps[3]) * falls;
                    odd[u * COLUMNS + i] += splat(taps[6]) * rises;
                }
            }
        UNROLL for (int j = 0; j < 2 * COLUMNS; j++) {
            Vec *to = job.out + j / COLUMNS * job.stride + x + j % COLUMNS;
            to[0] = both[j] + even[j];
            to[2 * job.stride] = both[j] + odd[j];
        }
    }
}

inline RaiseAcrossPass choose_raise_across(int up, int reach) {
    if (up == 2 && reach == 6) return raise_across<2, 6>;
    if (up == 4 && reach == 6) return raise_across<4, 6>;
    return raise_across<0, 0>;
}

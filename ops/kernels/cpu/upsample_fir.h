// Micro-kernels that upsample rows of vectors by polyphase FIR filters and apply the activation.
//
// Polyphase: of an output at phase u = 0 .. up - 1, only every up-th tap meets a sample that is not an inserted zero.
// `up` consecutive outputs, an output group, see the same taps_per_phase inputs.
//
//     inputs           g   g+1  g+2 ... g+K-1          K = taps_per_phase
//                       \___|____|_______/
//     output group      g*up + 0, ..., g*up + up-1     up outputs, each with its own K taps
//
// Cost: K multiply-adds per output and axis instead of the filter's up * K; with FFA 3/4 of that.
//
// Template parameters: UP: upsampling factor. K: taps per phase. GROUPS: output groups per loop iteration. MODE:
// activation, see activation.h. UP = K = 0 in upsample_vertical: factors known at run time only.
//
// Each output is summed in the same order however the loops are cut, so that results depend on neither tiles nor
// threads.
#pragma once
#include "activation.h"

// Arguments of the horizontal pass:
// out[g * up + u] = activate(sum over rows r and taps k of taps[r][u][k] * rows[r][g + k]).
struct UpsampleRowArgs {
    const Vec *const *rows; // [row_count] pointers to [output_groups + taps_per_phase - 1] vectors
    const float *taps;      // [row_count][up][taps_per_phase]
    int row_count;          // 1 for separable filters; else the rows that a 2-D filter sees
    int up, taps_per_phase, output_groups;
    Vec *out; // [output_groups * up]
    Vec slope, clamp;
};

template <int UP, int K, int GROUPS, int MODE> void upsample_horizontal(const UpsampleRowArgs &args) {
    for (int g = 0; g < args.output_groups; g += GROUPS) {
        Vec sum[GROUPS * UP] = {};
        for (int r = 0; r < args.row_count; r++) {
            const Vec *row = args.rows[r] + g;
            const float *taps = args.taps + r * UP * K;
            UNROLL for (int s = 0; s < GROUPS + K - 1; s++) {
                Vec x = row[s];
                UNROLL for (int i = 0; i < GROUPS; i++) {
                    if (s < i || s >= i + K) continue;
                    UNROLL for (int u = 0; u < UP; u++) sum[i * UP + u] += splat(taps[u * K + s - i]) * x;
                }
            }
        }
        UNROLL for (int i = 0; i < GROUPS * UP; i++)
            args.out[g * UP + i] = activate<MODE>(sum[i], args.slope, args.clamp);
    }
}

// Fast FIR algorithm (FFA): one row and 6 taps per phase, with three products in place of four (Parker and Parhi 1997,
// "Low-area/power parallel FIR digital filter implementations"). With X and X' the even and odd inputs, X[+1] the next
// even one, and H and H' the even and odd taps, two neighboring groups share the product with H + H':
//     y  = (H + H') X' + H  (X - X')
//     y' = (H + H') X' + H' (X[+1] - X')
// It needs the 32 registers of AVX-512. Taps of each phase: three of H + H', three of H, three of H'.
// The difference of two infinities is NaN: inputs whose outputs may reach FFA_MAX_INPUT take the direct form, which
// clamps infinity as it should.
constexpr int FFA_TAPS = 9;
constexpr bool USE_FFA = LANES == 16;
constexpr float FFA_MAX_INPUT = 1e37f;

template <int UP, int GROUPS, int MODE> void upsample_horizontal_ffa(const UpsampleRowArgs &args) {
    constexpr int PAIRS = GROUPS / 2;
    for (int g = 0; g < args.output_groups; g += GROUPS) {
        const Vec *row = args.rows[0] + g;
        Vec shared[PAIRS * UP] = {}, even[PAIRS * UP] = {}, odd[PAIRS * UP] = {}; // sums with H + H', H and H'
        Vec x_even = row[0];
        UNROLL for (int m = 0; m < PAIRS + 2; m++) {
            Vec x_odd = keep_in_register(row[2 * m + 1]), x_next = keep_in_register(row[2 * m + 2]);
            Vec x_even_minus_odd = x_even - x_odd, x_next_minus_odd = x_next - x_odd;
            UNROLL for (int k = 0; k < 3; k++) {
                const int i = m - k;
                if (i < 0 || i >= PAIRS) continue;
                UNROLL for (int u = 0; u < UP; u++) {
                    const float *taps = args.taps + u * FFA_TAPS + k;
                    shared[i * UP + u] += splat(taps[0]) * x_odd;
                    even[i * UP + u] += splat(taps[3]) * x_even_minus_odd;
                    odd[i * UP + u] += splat(taps[6]) * x_next_minus_odd;
                }
            }
            x_even = x_next;
        }
        UNROLL for (int i = 0; i < PAIRS; i++)
            UNROLL for (int u = 0; u < UP; u++) {
                Vec sum = shared[i * UP + u], *out = args.out + (g + 2 * i) * UP + u;
                out[0] = activate<MODE>(sum + even[i * UP + u], args.slope, args.clamp);
                out[UP] = activate<MODE>(sum + odd[i * UP + u], args.slope, args.clamp);
            }
    }
}

template <int MODE> void upsample_horizontal_generic(const UpsampleRowArgs &args) {
    for (int g = 0; g < args.output_groups; g++)
        for (int u = 0; u < args.up; u++) {
            Vec sum = {};
            for (int r = 0; r < args.row_count; r++) {
                const Vec *row = args.rows[r] + g;
                const float *taps = args.taps + (r * args.up + u) * args.taps_per_phase;
                for (int k = 0; k < args.taps_per_phase; k++) sum += splat(taps[k]) * row[k];
            }
            args.out[g * args.up + u] = activate<MODE>(sum, args.slope, args.clamp);
        }
}

constexpr int GROUP_MULTIPLE = 4; // output_groups is a multiple of this

typedef void (*UpsampleRowFn)(const UpsampleRowArgs &);

template <int MODE> UpsampleRowFn select_upsample_horizontal(int up, int taps_per_phase) {
    if (up == 2 && taps_per_phase == 6) return upsample_horizontal<2, 6, 4, MODE>;
    if (up == 4 && taps_per_phase == 6) return upsample_horizontal<4, 6, 2, MODE>;
    if (up == 2 && taps_per_phase == 2) return upsample_horizontal<2, 2, 4, MODE>;
    if (up == 1 && taps_per_phase == 1) return upsample_horizontal<1, 1, 4, MODE>;
    return upsample_horizontal_generic<MODE>;
}

// Arguments of the vertical pass, which makes all phases u of one group of output rows:
// out[u][x] = sum over k of taps[u][k] * rows[k][x].
struct UpsampleColumnArgs {
    const Vec *const *rows; // [taps_per_phase] pointers to [columns] vectors
    const float *taps;      // [up][taps_per_phase]
    int up, taps_per_phase, columns;
    Vec *out; // [up][out_stride]
    int out_stride;
};

constexpr int COLUMN_MULTIPLE = 4; // `columns` of all passes is a multiple of this, which they also take at a time

template <int UP, int K> void upsample_vertical(const UpsampleColumnArgs &args) {
    const int up = UP ? UP : args.up, taps_per_phase = K ? K : args.taps_per_phase;
    for (int x = 0; x < args.columns; x += COLUMN_MULTIPLE) {
        if (UP && K) {
            Vec sum[(UP ? UP : 1) * COLUMN_MULTIPLE] = {};
            UNROLL for (int k = 0; k < K; k++) {
                const Vec *row = args.rows[k] + x;
                UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++) {
                    Vec v = keep_in_register(row[i]);
                    UNROLL for (int u = 0; u < UP; u++)
                        sum[u * COLUMN_MULTIPLE + i] += splat(args.taps[u * K + k]) * v;
                }
            }
            UNROLL for (int u = 0; u < UP; u++)
                UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++)
                    args.out[u * args.out_stride + x + i] = sum[u * COLUMN_MULTIPLE + i];
        } else {
            for (int u = 0; u < up; u++) {
                Vec sum[COLUMN_MULTIPLE] = {};
                for (int k = 0; k < taps_per_phase; k++) {
                    const Vec *row = args.rows[k] + x;
                    UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++)
                        sum[i] += splat(args.taps[u * taps_per_phase + k]) * row[i];
                }
                UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++) args.out[u * args.out_stride + x + i] = sum[i];
            }
        }
    }
}

typedef void (*UpsampleColumnFn)(const UpsampleColumnArgs &);

// FFA for up = 2 and 6 taps per phase: two neighboring groups of output rows at once, from 7 input rows of which even
// and odd ones play the parts of X and X'. out: the two phases of the first group, then those of the second. taps
// [2][FFA_TAPS].
inline void upsample_vertical_ffa(const UpsampleColumnArgs &args) {
    for (int x = 0; x < args.columns; x += COLUMN_MULTIPLE) {
        Vec shared[2 * COLUMN_MULTIPLE] = {}, even[2 * COLUMN_MULTIPLE] = {}, odd[2 * COLUMN_MULTIPLE] = {};
        UNROLL for (int k = 0; k < 3; k++)
            UNROLL for (int i = 0; i < COLUMN_MULTIPLE; i++) {
                Vec x_odd = keep_in_register(args.rows[2 * k + 1][x + i]);
                Vec x_even_minus_odd = args.rows[2 * k][x + i] - x_odd;
                Vec x_next_minus_odd = args.rows[2 * k + 2][x + i] - x_odd;
                UNROLL for (int u = 0; u < 2; u++) {
                    const float *taps = args.taps + u * FFA_TAPS + k;
                    shared[u * COLUMN_MULTIPLE + i] += splat(taps[0]) * x_odd;
                    even[u * COLUMN_MULTIPLE + i] += splat(taps[3]) * x_even_minus_odd;
                    odd[u * COLUMN_MULTIPLE + i] += splat(taps[6]) * x_next_minus_odd;
                }
            }
        UNROLL for (int j = 0; j < 2 * COLUMN_MULTIPLE; j++) {
            Vec *to = args.out + j / COLUMN_MULTIPLE * args.out_stride + x + j % COLUMN_MULTIPLE;
            to[0] = shared[j] + even[j];
            to[2 * args.out_stride] = shared[j] + odd[j];
        }
    }
}

inline UpsampleColumnFn select_upsample_vertical(int up, int taps_per_phase) {
    if (up == 2 && taps_per_phase == 6) return upsample_vertical<2, 6>;
    if (up == 4 && taps_per_phase == 6) return upsample_vertical<4, 6>;
    return upsample_vertical<0, 0>;
}

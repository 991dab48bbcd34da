// Polyphase coefficient tables for one up- or downsampling stage, and the choice of its micro-kernels.
#pragma once
#include "downsample_fir.h"
#include <algorithm>
#include <cstdint>
#include <vector>

// One axis of a stage, see ops/polyphase.py. Sizes in samples, pad_before at the upsampled rate.
struct AxisResampling {
    int64_t size_in, size_out, taps, up, down, pad_before;
};

// One stage: a FIR filter and how both axes are resampled.
struct Resampler {
    AxisResampling y, x;
    const float *f; // [taps], for both axes, if separable; else [taps_y][taps_x]
    int64_t separable;
};

namespace {

int64_t ceil_div(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
int round_up_int(int64_t a, int64_t b) { return (int)(ceil_div(a, b) * b); }

// Taps of the FFA micro-kernels: from [rows][6][phases] to [rows][phases][FFA_TAPS], the FFA_TAPS being H + H', H, H'.
std::vector<float> make_ffa_taps(const float *taps, int rows, int phases) {
    std::vector<float> table(rows * phases * FFA_TAPS);
    for (int f = 0; f < rows * phases; f++)
        for (int k = 0; k < 3; k++) {
            const float *even = taps + f / phases * 6 * phases + f % phases + 2 * k * phases, *odd = even + phases;
            float *to = &table[f * FFA_TAPS + k];
            to[0] = *even + *odd;
            to[3] = *even;
            to[6] = *odd;
        }
    return table;
}

// An upsampling stage. Outputs come in groups of `up` that see the same taps_per_phase inputs, see upsample_fir.h.
struct PolyphaseUpsampler {
    int up_y, up_x, taps_per_phase_y, taps_per_phase_x;
    int64_t height, width, pad_y, pad_x; // input size; zeros before it, at the upsampled rate
    bool separable;
    std::vector<float> taps_y;     // [up_y][taps_per_phase_y] if separable, else empty
    std::vector<float> taps_x;     // [up_x][taps_per_phase_x]; 2-D: [up_y][taps_per_phase_y][up_x][taps_per_phase_x]
    std::vector<float> ffa_taps_x; // [up_x][FFA_TAPS] where the horizontal pass has an FFA form, else empty
    std::vector<float> ffa_taps_y; // [up_y][FFA_TAPS] where the vertical pass has one: it then makes two groups of rows
    float l1_gain;                 // |output| <= l1_gain * max |input|
    UpsampleColumnFn vertical;
    UpsampleRowFn horizontal[NUM_MODES], horizontal_ffa[NUM_MODES]; // by activation mode

    explicit PolyphaseUpsampler(const Resampler &stage) {
        const AxisResampling &y = stage.y, &x = stage.x;
        up_y = (int)y.up; up_x = (int)x.up;
        taps_per_phase_y = (int)ceil_div(y.taps, y.up); taps_per_phase_x = (int)ceil_div(x.taps, x.up);
        height = y.size_in; width = x.size_in; pad_y = y.pad_before; pad_x = x.pad_before;
        bool single_tap = y.taps == 1 && x.taps == 1;
        separable = stage.separable || single_tap;
        l1_gain = 0;
        if (separable) {
            taps_y.resize(up_y * taps_per_phase_y);
            taps_x.resize(up_x * taps_per_phase_x);
            float gain_y = fill_phases(taps_y.data(), stage.f, y, 1);
            const float one = 1;
            float gain_x = fill_phases(taps_x.data(), stage.separable ? stage.f : &one, x, 1);
            l1_gain = gain_y * gain_x;
        } else {
            taps_x.resize(up_y * taps_per_phase_y * up_x * taps_per_phase_x);
            std::vector<float> row(up_x * taps_per_phase_x);
            for (int u = 0; u < up_y; u++)
                for (int k = 0; k < taps_per_phase_y; k++) {
                    int64_t tap = tap_index(y, u, k);
                    if (tap < 0) continue;
                    l1_gain += fill_phases(row.data(), stage.f + tap * x.taps, x, 1); // of all phases: an upper bound
                    std::copy(row.begin(), row.end(),
                              taps_x.begin() + (u * taps_per_phase_y + k) * up_x * taps_per_phase_x);
                }
        }
        if (USE_FFA && separable && taps_per_phase_x == 6 && (up_x == 2 || up_x == 4))
            ffa_taps_x = make_ffa_taps(taps_x.data(), up_x, 1);
        if (USE_FFA && separable && taps_per_phase_y == 6 && up_y == 2)
            ffa_taps_y = make_ffa_taps(taps_y.data(), up_y, 1);
        vertical = select_upsample_vertical(up_y, taps_per_phase_y);
        select_horizontal<IDENTITY>();
        select_horizontal<LRELU_AS_MAX>();
        select_horizontal<LRELU>();
        select_horizontal<LRELU_CLAMP>();
    }

    template <int MODE> void select_horizontal() {
        horizontal[MODE] = select_upsample_horizontal<MODE>(up_x, taps_per_phase_x);
        horizontal_ffa[MODE] = up_x == 2 ? upsample_horizontal_ffa<2, 4, MODE> : upsample_horizontal_ffa<4, 2, MODE>;
    }

    // Groups of output rows that the vertical pass makes at once, and the input rows that it needs for them.
    int groups_per_pass() const { return ffa_taps_y.empty() ? 1 : 2; }
    int rows_buffered() const { return taps_per_phase_y + groups_per_pass() - 1; }

    // The tap by which phase u of a group weights the group's k-th input, or -1 beyond the filter.
    static int64_t tap_index(const AxisResampling &axis, int u, int k) {
        int64_t tap = axis.taps - 1 - (axis.up - 1 - u) - axis.up * k;
        return tap >= 0 && tap < axis.taps ? tap : -1;
    }

    // Write the table [up][taps_per_phase] of one axis; return its L1 gain, the largest sum of |tap| of a phase.
    static float fill_phases(float *table, const float *taps, const AxisResampling &axis, int64_t stride) {
        int taps_per_phase = (int)ceil_div(axis.taps, axis.up);
        float l1_gain = 0;
        for (int u = 0; u < axis.up; u++) {
            float sum = 0;
            for (int k = 0; k < taps_per_phase; k++) {
                int64_t tap = tap_index(axis, u, k);
                float value = tap < 0 ? 0.0f : taps[tap * stride];
                table[u * taps_per_phase + k] = value;
                sum += value < 0 ? -value : value;
            }
            l1_gain = std::max(l1_gain, sum);
        }
        return l1_gain;
    }

    // The group of an output row or column, which is the index of its first input; and its phase within the group.
    int64_t group_of_row(int64_t row) const { return ceil_div(row - pad_y, up_y); }
    int64_t group_of_column(int64_t column) const { return ceil_div(column - pad_x, up_x); }
    int phase_of_row(int64_t row) const { return (int)(row - pad_y - (up_y * (group_of_row(row) - 1) + 1)); }
    int phase_of_column(int64_t column) const {
        return (int)(column - pad_x - (up_x * (group_of_column(column) - 1) + 1));
    }
};

// A downsampling stage.
struct PolyphaseDownsampler {
    int down_y, down_x, tap_count_y, tap_count_x;
    int rows_per_pass; // output rows that are made together
    bool separable;
    bool symmetric_rows;       // 2-D: row r of the filter equals row last - r
    bool symmetric;            // separable: both axes are symmetric
    std::vector<float> taps_y; // [tap_count_y] if separable, else empty; flipped: in the order of the samples
    std::vector<float> taps_x; // [tap_count_x]; 2-D: [tap_count_y][tap_count_x]; FFA: [tap_count_y / 2][2][FFA_TAPS]
    DownsampleRowFn horizontal;
    DownsampleColumnFn vertical[MAX_OUTPUT_ROWS]; // by the number of rows that are made, less 1

    explicit PolyphaseDownsampler(const Resampler &stage) {
        down_y = (int)stage.y.down; down_x = (int)stage.x.down;
        tap_count_y = (int)stage.y.taps; tap_count_x = (int)stage.x.taps;
        separable = stage.separable || (tap_count_y == 1 && tap_count_x == 1);
        symmetric_rows = symmetric = false;
        if (separable) {
            taps_y.resize(tap_count_y);
            taps_x.resize(tap_count_x);
            for (int k = 0; k < tap_count_y; k++) taps_y[k] = stage.f[tap_count_y - 1 - k];
            for (int k = 0; k < tap_count_x; k++) taps_x[k] = stage.separable ? stage.f[tap_count_x - 1 - k] : 1.0f;
            symmetric = symmetrize(taps_y, tap_count_y, 1) && symmetrize(taps_x, tap_count_x, 1);
        } else {
            taps_x.resize(tap_count_y * tap_count_x);
            for (int y = 0; y < tap_count_y; y++)
                for (int x = 0; x < tap_count_x; x++)
                    taps_x[y * tap_count_x + x] = stage.f[(tap_count_y - 1 - y) * tap_count_x + tap_count_x - 1 - x];
            symmetric_rows = symmetrize(taps_x, tap_count_y, tap_count_x);
        }
        rows_per_pass = separable ? MAX_OUTPUT_ROWS : 2;
        horizontal = select_downsample_horizontal(down_x, tap_count_x, symmetric_rows, symmetric);
        if (USE_FFA && symmetric_rows && down_x == 2 && tap_count_x == 12) {
            taps_x = make_ffa_taps(taps_x.data(), tap_count_y / 2, 2);
            horizontal = downsample_horizontal_ffa;
        }
        vertical[0] = select_downsample_vertical<1>(down_y, tap_count_y, symmetric);
        vertical[1] = select_downsample_vertical<2>(down_y, tap_count_y, symmetric);
        vertical[2] = select_downsample_vertical<3>(down_y, tap_count_y, symmetric);
        vertical[3] = select_downsample_vertical<4>(down_y, tap_count_y, symmetric);
    }

    // Make taps [rows][row_size] exactly symmetric if they are so up to rounding: each row becomes the mean of it and
    // of its mirror image. Designed filters are symmetric up to rounding, and the mean moves them by less than that.
    // Return whether the filter is symmetric; one that is not stays as it is.
    static bool symmetrize(std::vector<float> &taps, int rows, int row_size) {
        float max_abs = 0, max_difference = 0;
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < row_size; x++) {
                float value = taps[y * row_size + x], mirrored = taps[(rows - 1 - y) * row_size + x];
                max_abs = std::max(max_abs, value < 0 ? -value : value);
                max_difference = std::max(max_difference, value < mirrored ? mirrored - value : value - mirrored);
            }
        if (rows % 2 || !(max_difference <= 1e-6f * max_abs)) return false;
        for (int y = 0; y < rows / 2; y++)
            for (int x = 0; x < row_size; x++) {
                float &value = taps[y * row_size + x], &mirrored = taps[(rows - 1 - y) * row_size + x];
                value = mirrored = 0.5f * (value + mirrored);
            }
        return true;
    }
};

} // namespace

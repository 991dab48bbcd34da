// One resampling each: how a leg raises, how a leg lowers; the tables that the inner loops read.
#pragma once
#include "downsample_fir.h"
#include <algorithm>
#include <cstdint>
#include <vector>

// What cpu.py says of an axis (`ops.polyphase.Span`) and of a leg.
struct Axis {
    int64_t in, out, taps, up, down, before;
};
struct Leg {
    Axis y, x;
    const float *f; // [taps] for both axes if separable, or [taps_y][taps_x]
    int64_t separable;
};

namespace {

int64_t ceiling(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
int round_up(int64_t a, int64_t b) { return (int)(ceiling(a, b) * b); }

// The taps of `raise_quickly` and `lower_quickly`: `rows` of `phases` filters of 6 taps each, of which they see
// [row][tap][phase].
std::vector<float> quick_taps(const float *taps, int rows, int phases) {
    std::vector<float> table(rows * phases * QUICK_TAPS);
    for (int f = 0; f < rows * phases; f++)
        for (int k = 0; k < 3; k++) {
            const float *even = taps + f / phases * 6 * phases + f % phases + 2 * k * phases, *odd = even + phases;
            float *to = &table[f * QUICK_TAPS + k];
            to[0] = *even + *odd;
            to[3] = *even;
            to[6] = *odd;
        }
    return table;
}

// How one leg raises: outputs come in groups of `up` that need the same `reach` inputs.
struct Raiser {
    int up_y, up_x, reach_y, reach_x;
    int64_t height, width, before_y, before_x;
    bool separable;
    std::vector<float> across, along; // [up_y][reach_y]; [up_x][reach_x] or [up_y][reach_y][up_x][reach_x]
    std::vector<float> quick;         // `quick_taps` of `along`, where there is a quick pass
    std::vector<float> quick_across;  // the same of `across`: two groups of rows are then raised together
    float bound;                      // no output is larger than this times the largest input
    RaiseAcrossPass pass_across;
    RaisePass pass[HOWS], quick_pass[HOWS];

    explicit Raiser(const Leg &leg) {
        const Axis &y = leg.y, &x = leg.x;
        up_y = (int)y.up; up_x = (int)x.up;
        reach_y = (int)ceiling(y.taps, y.up); reach_x = (int)ceiling(x.taps, x.up);
        height = y.in; width = x.in; before_y = y.before; before_x = x.before;
        bool point = y.taps == 1 && x.taps == 1;
        separable = leg.separable || point;
        bound = 0;
        if (separable) {
            across.resize(up_y * reach_y);
            along.resize(up_x * reach_x);
            float most_y = fill(across.data(), leg.f, y, 1);
            const float one = 1;
            float most_x = fill(along.data(), leg.separable ? leg.f : &one, x, 1);
            bound = most_y * most_x;
        } else {
            along.resize(up_y * reach_y * up_x * reach_x);
            std::vector<float> row(up_x * reach_x);
            for (int u = 0; u < up_y; u++)
                for (int k = 0; k < reach_y; k++) {
                    int64_t tap = tap_at(y, u, k);
                    if (tap < 0) continue;
                    bound += fill(row.data(), leg.f + tap * x.taps, x, 1); // of all phases: more than enough
                    std::copy(row.begin(), row.end(), along.begin() + (u * reach_y + k) * up_x * reach_x);
                }
        }
        if (QUICK && separable && reach_x == 6 && (up_x == 2 || up_x == 4)) quick = quick_taps(along.data(), up_x, 1);
        if (QUICK && separable && reach_y == 6 && up_y == 2) quick_across = quick_taps(across.data(), up_y, 1);
        pass_across = choose_raise_across(up_y, reach_y);
        choose<PLAIN>();
        choose<GENTLY>();
        choose<BENT>();
        choose<CLAMPED>();
    }

    template <int HOW> void choose() {
        pass[HOW] = choose_raise<HOW>(up_x, reach_x);
        quick_pass[HOW] = up_x == 2 ? raise_quickly<2, 4, HOW> : raise_quickly<4, 2, HOW>;
    }

    // Groups of rows that are raised together, and the rows that they need.
    int groups_y() const { return quick_across.empty() ? 1 : 2; }
    int held_y() const { return reach_y + groups_y() - 1; }

    // The tap that output u of a group gives to the group's k-th input, or -1.
    static int64_t tap_at(const Axis &axis, int u, int k) {
        int64_t tap = axis.taps - 1 - (axis.up - 1 - u) - axis.up * k;
        return tap >= 0 && tap < axis.taps ? tap : -1;
    }

    // The table [up][reach] of one axis; returns the largest sum of magnitudes of an output.
    static float fill(float *table, const float *taps, const Axis &axis, int64_t stride) {
        int reach = (int)ceiling(axis.taps, axis.up);
        float most = 0;
        for (int u = 0; u < axis.up; u++) {
            float sum = 0;
            for (int k = 0; k < reach; k++) {
                int64_t tap = tap_at(axis, u, k);
                float value = tap < 0 ? 0.0f : taps[tap * stride];
                table[u * reach + k] = value;
                sum += value < 0 ? -value : value;
            }
            most = std::max(most, sum);
        }
        return most;
    }

    int64_t group_y(int64_t row) const { return ceiling(row - before_y, up_y); }
    int64_t group_x(int64_t column) const { return ceiling(column - before_x, up_x); }
    int phase_y(int64_t row) const { return (int)(row - before_y - (up_y * (group_y(row) - 1) + 1)); }
    int phase_x(int64_t column) const { return (int)(column - before_x - (up_x * (group_x(column) - 1) + 1)); }
};

struct Lowerer {
    int down_y, down_x, taps_y, taps_x, rows_at_once;
    bool separable, folds, even;      // folds: 2-D, with even rows; even: separable, both axes are
    std::vector<float> across, along; // in the order of the samples
    LowerPass pass;
    LowerAcrossPass pass_across[ROWS]; // by how many rows are made

    explicit Lowerer(const Leg &leg) {
        down_y = (int)leg.y.down; down_x = (int)leg.x.down; taps_y = (int)leg.y.taps; taps_x = (int)leg.x.taps;
        separable = leg.separable || (taps_y == 1 && taps_x == 1);
        folds = even = false;
        if (separable) {
            across.resize(taps_y);
            along.resize(taps_x);
            for (int k = 0; k < taps_y; k++) across[k] = leg.f[taps_y - 1 - k];
            for (int k = 0; k < taps_x; k++) along[k] = leg.separable ? leg.f[taps_x - 1 - k] : 1.0f;
            even = make_even(across, taps_y, 1) && make_even(along, taps_x, 1);
        } else {
            along.resize(taps_y * taps_x);
            for (int y = 0; y < taps_y; y++)
                for (int x = 0; x < taps_x; x++)
                    along[y * taps_x + x] = leg.f[(taps_y - 1 - y) * taps_x + taps_x - 1 - x];
            folds = make_even(along, taps_y, taps_x);
        }
        rows_at_once = separable ? ROWS : 2;
        pass = choose_lower(down_x, taps_x, folds, even);
        if (QUICK && folds && down_x == 2 && taps_x == 12) {
            along = quick_taps(along.data(), taps_y / 2, 2);
            pass = lower_quickly;
        }
        pass_across[0] = choose_lower_across<1>(down_y, taps_y, even);
        pass_across[1] = choose_lower_across<2>(down_y, taps_y, even);
        pass_across[2] = choose_lower_across<3>(down_y, taps_y, even);
        pass_across[3] = choose_lower_across<4>(down_y, taps_y, even);
    }

    // Designed filters are even up to rounding: each row of taps becomes the mean of it and of its mirror image, which
    // moves it by less than that. Returns whether the filter is even; another one stays as it is.
    static bool make_even(std::vector<float> &taps, int rows, int row) {
        float most = 0, apart = 0;
        for (int y = 0; y < rows; y++)
            for (int x = 0; x < row; x++) {
                float value = taps[y * row + x], other = taps[(rows - 1 - y) * row + x];
                most = std::max(most, value < 0 ? -value : value);
                apart = std::max(apart, value < other ? other - value : value - other);
            }
        if (rows % 2 || !(apart <= 1e-6f * most)) return false;
        for (int y = 0; y < rows / 2; y++)
            for (int x = 0; x < row; x++) {
                float &value = taps[y * row + x], &other = taps[(rows - 1 - y) * row + x];
                value = other = 0.5f * (value + other);
            }
        return true;
    }
};

} // namespace

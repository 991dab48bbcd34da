// Bias, upsample, leaky ReLU, clamp, downsample, tile by tile in cache: the C++ form of ops/filtered_lrelu.py.
//
// Pictures are [N,H,W,C] in memory. One task works on the channels of one vector and a rectangle of the output; it
// goes down the rows: samples are loaded (converted, scaled, biased) into a ring, raised across and along the rows,
// bent, lowered along and then across the rows, scaled and stored. Filters are `ops.fir.Span`s, the same for every
// size; the filter taps of 2-D filters are taken together with those along the rows.
//
// With `v` it is the derivative: after(kink'(raise(x + b)) * before(v)).
#include "passes.h"
#include "pool.h"
#include <algorithm>
#include <cstdlib>
#include <new>
#include <vector>

struct Axis {
    int64_t in, out, taps, up, down, before;
};
struct Leg {
    Axis y, x;
    const float *f; // [taps] for both axes if separable, or [taps_y][taps_x]
    int64_t separable;
};
struct Job {
    const void *x, *v;
    void *out;
    const float *bias, *scale, *gain; // [C] or null; scale and gain may be [N][C]: then the steps are C
    int64_t scale_step, gain_step;
    int64_t samples, channels, dtype_in, dtype_v, dtype_out; // dtypes: 0 float32, 1 bfloat16
    Leg raise, before, after;
    float slope, clamp; // a negative clamp is none
    int64_t threads;
};

namespace {

int64_t ceiling(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }
int round_up(int64_t a, int64_t b) { return (int)(ceiling(a, b) * b); }

// How one leg raises: outputs come in groups of `up` that need the same `reach` inputs.
struct Raiser {
    int up_y, up_x, reach_y, reach_x;
    int64_t height, width, before_y, before_x;
    bool separable;
    std::vector<float> across, along; // [up_y][reach_y]; [up_x][reach_x] or [up_y][reach_y][up_x][reach_x]
    float bound;                      // no output is larger than this times the largest input
    RaiseAcrossPass pass_across;
    RaisePass pass[HOWS];

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
        pass_across = choose_raise_across(up_y, reach_y);
        pass[PLAIN] = choose_raise<PLAIN>(up_x, reach_x);
        pass[GENTLY] = choose_raise<GENTLY>(up_x, reach_x);
        pass[BENT] = choose_raise<BENT>(up_x, reach_x);
        pass[CLAMPED] = choose_raise<CLAMPED>(up_x, reach_x);
    }

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
    bool separable, folds;
    std::vector<float> across, along; // in the order of the samples
    LowerPass pass;
    LowerAcrossPass pass_across[ROWS]; // by how many rows are made

    explicit Lowerer(const Leg &leg) {
        down_y = (int)leg.y.down; down_x = (int)leg.x.down; taps_y = (int)leg.y.taps; taps_x = (int)leg.x.taps;
        separable = leg.separable || (taps_y == 1 && taps_x == 1);
        folds = false;
        if (separable) {
            across.resize(taps_y);
            along.resize(taps_x);
            for (int k = 0; k < taps_y; k++) across[k] = leg.f[taps_y - 1 - k];
            for (int k = 0; k < taps_x; k++) along[k] = leg.separable ? leg.f[taps_x - 1 - k] : 1.0f;
        } else {
            along.resize(taps_y * taps_x);
            float most = 0, apart = 0;
            for (int y = 0; y < taps_y; y++)
                for (int x = 0; x < taps_x; x++) {
                    float value = leg.f[(taps_y - 1 - y) * taps_x + taps_x - 1 - x];
                    float other = leg.f[y * taps_x + taps_x - 1 - x];
                    along[y * taps_x + x] = value;
                    most = std::max(most, value < 0 ? -value : value);
                    apart = std::max(apart, value < other ? other - value : value - other);
                }
            // Designed filters are even up to rounding; taking the mean of both halves moves them by less than that.
            folds = taps_y % 2 == 0 && apart <= 1e-6f * most;
            if (folds)
                for (int y = 0; y < taps_y / 2; y++)
                    for (int x = 0; x < taps_x; x++) {
                        float &value = along[y * taps_x + x];
                        value = 0.5f * (value + along[(taps_y - 1 - y) * taps_x + x]);
                    }
        }
        rows_at_once = separable ? ROWS : 2;
        pass = choose_lower(down_x, taps_x, folds);
        pass_across[0] = choose_lower_across<1>(down_y, taps_y);
        pass_across[1] = choose_lower_across<2>(down_y, taps_y);
        pass_across[2] = choose_lower_across<3>(down_y, taps_y);
        pass_across[3] = choose_lower_across<4>(down_y, taps_y);
    }
};

// ---- reading and writing rows of pictures

constexpr int MOST_BLOCKS = 8;
constexpr int64_t LARGE = 1 << 20; // bytes of a result that will not be found in the caches anyway

// The channels that one task works on: a few vectors, so that memory is visited in longer stretches.
struct Channels {
    int blocks;  // the last may be partly filled
    int lanes;   // of the last
    int64_t row; // numbers from one pixel to the next
};

struct Load {
    const void *picture; // of this sample, from the first channel
    int64_t width;
    Channels channels;
    bool affine;
    Vec scale[MOST_BLOCKS], bias[MOST_BLOCKS];
};

// `count` columns from `first` on, zeros outside, block after block `stride` vectors apart. Returns the largest
// magnitude in each lane.
template <class T, bool WHOLE>
Vec load_row_of(const Load &from, int64_t row, int64_t first, int count, Vec *to, int64_t stride, int64_t ahead) {
    const Channels &c = from.channels;
    int64_t begin = std::min<int64_t>(std::max<int64_t>(0, -first), count);
    int64_t end = std::max<int64_t>(begin, std::min<int64_t>(count, from.width - first));
    Vec most = {};
    for (int b = 0; b < c.blocks; b++) {
        for (int64_t i = 0; i < begin; i++) to[b * stride + i] = Vec{};
        for (int64_t i = end; i < count; i++) to[b * stride + i] = Vec{};
    }
    const T *at = (const T *)from.picture + (row * from.width + first + begin) * c.row;
    for (int64_t i = begin; i < end; i++, at += c.row)
        for (int b = 0; b < c.blocks; b++) {
            if (ahead) __builtin_prefetch(at + ahead + b * LANES, 0, 2);
            bool whole = WHOLE || b + 1 < c.blocks;
            Vec v = whole ? load<true>(at + b * LANES, LANES) : load<false>(at + b * LANES, c.lanes);
            if (from.affine) v = v * from.scale[b] + from.bias[b];
            Vec size = magnitude(v);
            most = size > most ? size : most;
            to[b * stride + i] = v;
        }
    return most;
}

Vec load_row(const Load &from, int64_t dtype, int64_t row, int64_t first, int count, Vec *to, int64_t stride,
             bool more) {
    bool whole = from.channels.lanes == LANES;
    int64_t ahead = more ? from.width * from.channels.row : 0; // the row that will be wanted next
    if (dtype == 0)
        return whole ? load_row_of<float, true>(from, row, first, count, to, stride, ahead)
                     : load_row_of<float, false>(from, row, first, count, to, stride, ahead);
    return whole ? load_row_of<uint16_t, true>(from, row, first, count, to, stride, ahead)
                 : load_row_of<uint16_t, false>(from, row, first, count, to, stride, ahead);
}

enum { PARTLY, WHOLLY, PAST_CACHES };

template <class T, int HOW>
void store_row_of(T *to, const Channels &c, const Vec *row, int64_t stride, int count, const Vec *gain) {
    for (int i = 0; i < count; i++, to += c.row)
        for (int b = 0; b < c.blocks; b++) {
            Vec v = row[b * stride + i] * gain[b];
            if (HOW == PAST_CACHES) stream(to + b * LANES, v);
            else if (HOW == WHOLLY || b + 1 < c.blocks) store<true>(to + b * LANES, v, LANES);
            else store<false>(to + b * LANES, v, c.lanes);
        }
}

template <class T>
void store_row(T *to, const Channels &c, const Vec *row, int64_t stride, int count, const Vec *gain, bool streams) {
    if (c.lanes < LANES) store_row_of<T, PARTLY>(to, c, row, stride, count, gain);
    else if (streams) store_row_of<T, PAST_CACHES>(to, c, row, stride, count, gain);
    else store_row_of<T, WHOLLY>(to, c, row, stride, count, gain);
}

// ---- one source on its way up

struct Source {
    const Raiser *raiser;
    Load from;
    int64_t dtype;
    int64_t first_group; // of the tile's columns
    int groups, columns, offset;
    Vec *ring;   // for each block: reach_y rows of `columns`
    Vec *phases; // separable, for each block: the rows of the present group, raised across
    int slots[64];
    float most[64];        // the largest magnitude in each row of the ring
    int64_t group, loaded; // the group that `phases` and `slots` are for; the next row to load
    float bound;           // nothing in the present group is raised higher

    void lay_out(const Raiser &with, int64_t first_column, int column_count) {
        raiser = &with;
        first_group = with.group_x(first_column);
        int64_t last = with.group_x(first_column + column_count - 1);
        groups = round_up(last - first_group + 1, GROUPS);
        columns = round_up(groups + with.reach_x - 1, COLUMNS);
        offset = with.phase_x(first_column);
    }
    int64_t ring_size() const { return (int64_t)raiser->reach_y * columns; }
    int64_t phases_size() const { return raiser->separable ? (int64_t)raiser->up_y * columns : 0; }
    int64_t raised_size() const { return (int64_t)groups * raiser->up_x; }

    void begin(int64_t first_row) {
        group = INT64_MIN;
        loaded = raiser->group_y(first_row);
    }

    // Load what the row needs, for all blocks.
    void advance(int64_t row) {
        const Raiser &r = *raiser;
        int64_t wanted = r.group_y(row);
        if (wanted == group) return;
        group = wanted;
        auto slot_of = [&r](int64_t k) { return (int)(((k % r.reach_y) + r.reach_y) % r.reach_y); };
        for (loaded = std::max(loaded, group); loaded < group + r.reach_y; loaded++) {
            int slot = slot_of(loaded);
            Vec *target = ring + (int64_t)slot * columns;
            if (loaded < 0 || loaded >= r.height) {
                for (int b = 0; b < from.channels.blocks; b++)
                    std::fill(target + b * ring_size(), target + b * ring_size() + columns, Vec{});
                most[slot] = 0;
            } else {
                bool more = loaded + 1 < r.height;
                most[slot] = largest(load_row(from, dtype, loaded, first_group, columns, target, ring_size(), more));
            }
        }
        float largest_input = 0;
        for (int k = 0; k < r.reach_y; k++) {
            slots[k] = slot_of(group + k);
            largest_input = std::max(largest_input, most[slots[k]]);
        }
        bound = largest_input * r.bound;
        if (!r.separable) return;
        for (int b = 0; b < from.channels.blocks; b++) {
            const Vec *rows[64];
            for (int k = 0; k < r.reach_y; k++) rows[k] = ring + b * ring_size() + (int64_t)slots[k] * columns;
            r.pass_across({rows, r.across.data(), r.up_y, r.reach_y, columns, phases + b * phases_size(), columns});
        }
    }

    // Write one block's raised row, after `advance`; its first wanted column is at to[offset].
    void raise(int b, int64_t row, Vec *to, bool bent, const Kink &kink) const {
        const Raiser &r = *raiser;
        int u = r.phase_y(row);
        const Vec *rows[64];
        if (r.separable) rows[0] = phases + b * phases_size() + (int64_t)u * columns;
        else for (int k = 0; k < r.reach_y; k++) rows[k] = ring + b * ring_size() + (int64_t)slots[k] * columns;
        bool gentle = kink.slope >= 0 && kink.slope <= 1;
        bool clamped = kink.clamps && !(bound < kink.clamp);
        int how = !bent ? PLAIN : clamped ? CLAMPED : !kink.bends ? PLAIN : gentle ? GENTLY : BENT;
        int64_t taps = r.separable ? 0 : (int64_t)u * r.reach_y * r.up_x * r.reach_x;
        r.pass[how]({rows, r.along.data() + taps, r.separable ? 1 : r.reach_y, r.up_x, r.reach_x, groups, to,
                     splat(kink.slope), splat(kink.clamp)});
    }
};

// ---- tiles

struct Plan {
    const Job &job;
    Raiser raise, before;
    Lowerer lower;
    Kink kink;
    int blocks; // of a task
    int64_t stretches, tiles_x, tiles_y, tile_width, tile_height;
    bool streams;
    std::atomic<bool> failed{false};

    explicit Plan(const Job &of) : job(of), raise(of.raise), before(of.v ? of.before : of.raise), lower(of.after) {
        kink = {job.slope, job.clamp < 0 ? 0 : job.clamp, job.slope != 1, job.clamp >= 0};
        // A clamped signal must stay below the bound after the slope as well as before it.
        float steepest = std::max(1.0f, job.slope < 0 ? -job.slope : job.slope) * 1.001f;
        raise.bound *= steepest;
        const Axis &y = job.after.y, &x = job.after.x;
        int64_t vectors = ceiling(job.channels, LANES);
        blocks = (int)std::min<int64_t>(vectors, std::min(MOST_BLOCKS, 64 / LANES)); // 64 channels are 256 bytes
        stretches = ceiling(vectors, blocks);
        blocks = (int)ceiling(vectors, stretches);
        // A raised row should stay in the first cache, the ring of rows in the second.
        int64_t budget = (lower.separable ? 304 : 160) * 16 / LANES;
        int64_t widest = std::max<int64_t>(8, (budget - lower.taps_x) / lower.down_x + 1) / 8 * 8;
        tiles_x = ceiling(x.out, widest);
        tile_width = std::min<int64_t>(x.out, round_up(ceiling(x.out, tiles_x), 8));
        tiles_x = ceiling(x.out, tile_width);
        int64_t size = job.dtype_out == 0 ? 4 : 2;
        streams = job.channels % LANES == 0 && (uintptr_t)job.out % 64 == 0 &&
                  job.samples * job.channels * y.out * x.out * size > LARGE;
        int64_t wanted = job.threads > 1 ? 4 * job.threads : 1;
        int64_t so_far = job.samples * stretches * tiles_x;
        tiles_y = std::max<int64_t>(1, std::min(ceiling(wanted, so_far), y.out * lower.down_y / 64));
        tile_height = round_up(ceiling(y.out, tiles_y), lower.rows_at_once);
        tiles_y = ceiling(y.out, tile_height);
    }

    int64_t tasks() const { return job.samples * tiles_x * tiles_y * stretches; }
    void tile(int64_t task);
};

// Memory of one thread, kept from call to call.
struct Scratch {
    void *memory = nullptr;
    size_t size = 0;
    ~Scratch() { std::free(memory); }
    Vec *get(size_t vectors) {
        size_t bytes = (vectors + 1) * sizeof(Vec) + 64;
        if (bytes > size) {
            std::free(memory);
            memory = std::calloc(bytes, 1); // zeros: what is only read to be thrown away should be no slow number
            size = memory ? bytes : 0;
        }
        return memory ? (Vec *)(((uintptr_t)memory + 63) & ~(uintptr_t)63) : nullptr;
    }
};
thread_local Scratch scratch;

// What scales or shifts each channel, block by block.
void numbers(const float *values, int64_t first, const Channels &c, float otherwise, Vec *to) {
    for (int b = 0; b < c.blocks; b++)
        to[b] = values ? load<false>(values + first + b * LANES, b + 1 < c.blocks ? LANES : c.lanes) : splat(otherwise);
}

void Plan::tile(int64_t task) {
    int64_t channel = task % stretches * blocks * LANES;
    task /= stretches;
    int64_t left = task % tiles_x * tile_width, top = task / tiles_x % tiles_y * tile_height;
    int64_t sample = task / tiles_x / tiles_y;
    const Axis &ay = job.after.y, &ax = job.after.x;
    int64_t right = std::min(left + tile_width, ax.out), bottom = std::min(top + tile_height, ay.out);
    int width = (int)(right - left), wide = round_up(width, COLUMNS);
    int64_t first = left * lower.down_x - ax.before; // of the raised columns
    int raised = (width - 1) * lower.down_x + lower.taps_x;
    int64_t rest = std::min<int64_t>((int64_t)blocks * LANES, job.channels - channel);
    Channels c = {(int)ceiling(rest, LANES), 0, job.channels};
    c.lanes = (int)rest - (c.blocks - 1) * LANES;

    Source x, v;
    x.lay_out(raise, first, raised);
    if (job.v) v.lay_out(before, first, raised);
    int ring_rows = lower.taps_y + (lower.rows_at_once - 1) * lower.down_y;
    // Passes work in whole blocks of columns and read beyond what is wanted.
    int64_t raised_size = x.raised_size() + wide * lower.down_x + lower.taps_x + 64;
    if (job.v) raised_size = std::max(raised_size, v.raised_size() + 64);
    int64_t ring_size = ring_rows * (lower.separable ? wide : raised_size);
    int64_t raised_rows = (lower.separable ? 1 : 0) + (job.v ? 1 : 0);
    Vec *at = scratch.get(c.blocks * (x.ring_size() + x.phases_size() + ring_size + lower.rows_at_once * wide) +
                          raised_rows * raised_size + (job.v ? c.blocks * (v.ring_size() + v.phases_size()) : 0));
    if (!at) {
        failed = true;
        return;
    }
    auto take = [&at](int64_t vectors) { Vec *taken = at; at += vectors; return taken; };
    auto open = [&](Source &source, const void *picture, int64_t dtype) {
        int64_t size = dtype == 0 ? 4 : 2;
        int64_t start = sample * source.raiser->height * source.raiser->width * job.channels + channel;
        source.from.picture = (const char *)picture + start * size;
        source.from.width = source.raiser->width;
        source.from.channels = c;
        source.from.affine = false;
        source.dtype = dtype;
        source.ring = take(c.blocks * source.ring_size());
        source.phases = take(c.blocks * source.phases_size());
    };
    open(x, job.x, job.dtype_in);
    if (job.bias || job.scale) {
        x.from.affine = true;
        numbers(job.scale ? job.scale + sample * job.scale_step : nullptr, channel, c, 1, x.from.scale);
        numbers(job.bias, channel, c, 0, x.from.bias);
    }
    Vec gain[MOST_BLOCKS];
    numbers(job.gain ? job.gain + sample * job.gain_step : nullptr, channel, c, 1, gain);
    if (job.v) open(v, job.v, job.dtype_v);
    Vec *raised_v = job.v ? take(raised_size) : nullptr;
    Vec *raised_x = lower.separable ? take(raised_size) : nullptr;
    Vec *ring = take(c.blocks * ring_size); // lowered rows, or raised rows where the filter wants them all
    Vec *result = take(c.blocks * lower.rows_at_once * wide);

    int64_t next = top * lower.down_y - ay.before; // the next raised row to make
    const int64_t origin = next;
    auto in_ring = [&](int b, int64_t row) {
        return ring + b * ring_size + (row - origin) % ring_rows * (lower.separable ? wide : raised_size);
    };
    int64_t first_real = std::min(std::max<int64_t>(next, 0), ay.in);
    x.begin(first_real);
    if (job.v) v.begin(first_real);
    for (int64_t y = top; y < bottom; y += lower.rows_at_once) {
        int made = (int)std::min<int64_t>(lower.rows_at_once, bottom - y);
        int64_t start = y * lower.down_y - ay.before, stop = start + (made - 1) * lower.down_y + lower.taps_y;
        for (next = std::max(next, start); next < stop; next++) {
            bool real = next >= 0 && next < ay.in; // else beyond the raised picture
            if (real) x.advance(next);
            if (real && job.v) v.advance(next);
            for (int b = 0; b < c.blocks; b++) {
                Vec *kept = in_ring(b, next), *target = lower.separable ? raised_x : kept;
                if (!real) {
                    std::fill(kept, kept + ring_size / ring_rows, Vec{});
                    continue;
                }
                x.raise(b, next, target, !job.v, kink);
                const Vec *wanted = target + x.offset;
                if (job.v) {
                    v.raise(b, next, raised_v, false, kink);
                    multiply_slope(target + x.offset, raised_v + v.offset, raised, kink, !(x.bound < kink.clamp));
                }
                for (int64_t i = 0; i < std::min<int64_t>(-first, raised); i++) target[x.offset + i] = Vec{};
                for (int64_t i = std::max<int64_t>(0, ax.in - first); i < raised; i++) target[x.offset + i] = Vec{};
                if (!lower.separable) continue;
                lower.pass({&wanted, lower.along.data(), 1, 0, 0, lower.down_x, lower.taps_x, wide, 1, kept, 0});
            }
        }
        for (int b = 0; b < c.blocks; b++) {
            const Vec *rows[128];
            int offset = lower.separable ? 0 : x.offset;
            for (int k = 0; k < (int)(stop - start); k++) rows[k] = in_ring(b, start + k) + offset;
            Vec *to = result + b * lower.rows_at_once * wide;
            if (lower.separable) {
                LowerAcrossPass pass = lower.pass_across[made - 1];
                pass({rows, lower.across.data(), lower.down_y, lower.taps_y, wide, to, wide});
            } else {
                int count = lower.folds ? lower.taps_y / 2 : lower.taps_y;
                lower.pass({rows, lower.along.data(), count, lower.taps_y - 1, lower.down_y, lower.down_x,
                            lower.taps_x, wide, made, to, wide});
            }
        }
        for (int p = 0; p < made; p++) {
            int64_t place = ((sample * ay.out + y + p) * ax.out + left) * job.channels + channel;
            const Vec *row = result + p * wide;
            int64_t stride = lower.rows_at_once * wide;
            if (job.dtype_out == 0) store_row((float *)job.out + place, c, row, stride, width, gain, streams);
            else store_row((uint16_t *)job.out + place, c, row, stride, width, gain, streams);
        }
    }
    if (streams) finish_streams();
}

} // namespace

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

// 0, or 1 if there was not enough memory.
EXPORT int bandlimit_filtered_lrelu(const Job *job) {
    try {
        Plan plan(*job);
        auto work = [](void *context, int64_t task) { ((Plan *)context)->tile(task); };
        Pool::shared().run(work, &plan, plan.tasks(), (int)job->threads);
        return plan.failed ? 1 : 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

// The version of `Job`, and how many channels a vector holds.
EXPORT int bandlimit_version() { return 1; }
EXPORT int bandlimit_lanes() { return LANES; }

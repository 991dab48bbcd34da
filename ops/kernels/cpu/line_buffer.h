// Rows of pictures: loaded from memory into rings, raised row by row, stored.
#pragma once
#include "resampler.h"

namespace {

constexpr int MOST_BLOCKS = 8;
constexpr int64_t LARGE = 1 << 20; // bytes of a result that will not be found in the caches by the next layer

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

// One source on its way up.
struct Source {
    const Raiser *raiser;
    Load from;
    int64_t dtype;
    int64_t first_group; // of the tile's columns
    int groups, columns, offset;
    Vec *ring;   // for each block: held_y rows of `columns`
    Vec *phases; // separable, for each block: the rows of the present groups, raised across
    int slots[65];
    float most[65];        // the largest magnitude in each row of the ring
    int64_t group, loaded; // the first group that `phases` and `slots` are for; the next row to load
    float bound;           // nothing in the present groups is raised higher

    void lay_out(const Raiser &with, int64_t first_column, int column_count) {
        raiser = &with;
        first_group = with.group_x(first_column);
        int64_t last = with.group_x(first_column + column_count - 1);
        groups = round_up(last - first_group + 1, GROUPS);
        columns = round_up(groups + with.reach_x - 1, COLUMNS);
        offset = with.phase_x(first_column);
    }
    int64_t ring_size() const { return (int64_t)raiser->held_y() * columns; }
    int64_t phases_size() const { return raiser->separable ? (int64_t)raiser->groups_y() * raiser->up_y * columns : 0; }
    int64_t raised_size() const { return (int64_t)groups * raiser->up_x; }

    void begin(int64_t first_row) {
        group = INT64_MIN;
        loaded = first_of(first_row);
    }

    // The first of the groups that are raised together with that of a row: the same for every tile.
    int64_t first_of(int64_t row) const {
        const int64_t own = raiser->group_y(row);
        return raiser->groups_y() == 2 ? own & ~(int64_t)1 : own;
    }

    // Load what the row needs, for all blocks.
    void advance(int64_t row) {
        const Raiser &r = *raiser;
        const int64_t wanted = first_of(row), held = r.held_y();
        if (wanted == group) return;
        group = wanted;
        auto slot_of = [held](int64_t k) { return (int)(((k % held) + held) % held); };
        for (loaded = std::max(loaded, group); loaded < group + held; loaded++) {
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
        for (int k = 0; k < held; k++) {
            slots[k] = slot_of(group + k);
            largest_input = std::max(largest_input, most[slots[k]]);
        }
        bound = largest_input * r.bound;
        if (!r.separable) return;
        const bool quick = !r.quick_across.empty() && bound < QUICK_BELOW;
        for (int b = 0; b < from.channels.blocks; b++) {
            const Vec *rows[65];
            for (int k = 0; k < held; k++) rows[k] = ring + b * ring_size() + (int64_t)slots[k] * columns;
            Vec *to = phases + b * phases_size();
            if (quick) raise_across_quickly({rows, r.quick_across.data(), r.up_y, r.reach_y, columns, to, columns});
            else for (int g = 0; g < r.groups_y(); g++)
                r.pass_across({rows + g, r.across.data(), r.up_y, r.reach_y, columns, to + g * r.up_y * columns, columns});
        }
    }

    // Write one block's raised row, after `advance`; its first wanted column is at to[offset].
    void raise(int b, int64_t row, Vec *to, bool bent, const Kink &kink) const {
        const Raiser &r = *raiser;
        int u = r.phase_y(row);
        const Vec *rows[64];
        if (r.separable) rows[0] = phases + b * phases_size() + ((r.group_y(row) - group) * r.up_y + u) * columns;
        else for (int k = 0; k < r.reach_y; k++) rows[k] = ring + b * ring_size() + (int64_t)slots[k] * columns;
        bool gentle = kink.slope >= 0 && kink.slope <= 1;
        bool clamped = kink.clamps && !(bound < kink.clamp);
        int how = !bent ? PLAIN : clamped ? CLAMPED : !kink.bends ? PLAIN : gentle ? GENTLY : BENT;
        bool quick = !r.quick.empty() && bound < QUICK_BELOW;
        int64_t skipped = r.separable ? 0 : (int64_t)u * r.reach_y * r.up_x * r.reach_x;
        const float *taps = quick ? r.quick.data() : r.along.data() + skipped;
        (quick ? r.quick_pass : r.pass)[how]({rows, taps, r.separable ? 1 : r.reach_y, r.up_x, r.reach_x, groups, to,
                     splat(kink.slope), splat(kink.clamp)});
    }
};

} // namespace

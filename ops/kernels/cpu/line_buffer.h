// Ring buffer of input rows for one upsampling stage; loading and storing of rows of feature maps.
//
// For one tile and vector of channels, with K = taps_per_phase_y:
//
//     input row r        slot r mod capacity                vertical pass              horizontal pass
//     r = group          [ columns vectors ]  \
//     r = group + 1      [ columns vectors ]   }  ----->  phase_rows [up_y][columns]  ----->  one upsampled row
//     ...                                     /                                               [output_groups * up_x]
//     r = group + K - 1  [ columns vectors ]
//
// The capacity, rows_buffered(), is K rows, or K + 1 with vertical FFA. 2-D filters skip phase_rows: their horizontal
// pass reads the ring itself.
#pragma once
#include "resampler.h"

namespace {

constexpr int MAX_VECTORS = 8;                 // vectors of channels per task
constexpr int64_t NONTEMPORAL_BYTES = 1 << 20; // larger outputs leave the caches before the next layer reads them

// The channels that one task works on: a few vectors, so that memory is read in longer runs.
struct ChannelGroup {
    int vectors;          // the last one may be partly filled
    int tail_lanes;       // used lanes of the last one
    int64_t pixel_stride; // elements from one pixel to the next
};

// Where rows are loaded from, and how samples are scaled: x * scale + bias.
struct RowLoader {
    const void *image; // float32 or bfloat16 [height][width][pixel_stride], at the sample and first channel of the task
    int64_t width;
    ChannelGroup channels;
    bool has_affine;
    Vec scale[MAX_VECTORS], bias[MAX_VECTORS];
};

// Load `count` columns of a row, from column `first` on, zeros outside the image: out [vectors][stride]. Return the
// largest magnitude in each lane. T: float or uint16_t (bfloat16). FULL: the last vector is full. Each pixel's data
// `prefetch_offset` elements further on is prefetched, unless that is 0.
template <class T, bool FULL>
Vec load_row_as(const RowLoader &from, int64_t row, int64_t first, int count, Vec *out, int64_t stride,
                int64_t prefetch_offset) {
    const ChannelGroup &c = from.channels;
    int64_t begin = std::min<int64_t>(std::max<int64_t>(0, -first), count);
    int64_t end = std::max<int64_t>(begin, std::min<int64_t>(count, from.width - first));
    Vec max_abs = {};
    for (int b = 0; b < c.vectors; b++) {
        for (int64_t i = 0; i < begin; i++) out[b * stride + i] = Vec{};
        for (int64_t i = end; i < count; i++) out[b * stride + i] = Vec{};
    }
    const T *pixel = (const T *)from.image + (row * from.width + first + begin) * c.pixel_stride;
    for (int64_t i = begin; i < end; i++, pixel += c.pixel_stride)
        for (int b = 0; b < c.vectors; b++) {
            if (prefetch_offset) __builtin_prefetch(pixel + prefetch_offset + b * LANES, 0, 2);
            bool full = FULL || b + 1 < c.vectors;
            Vec v = full ? load<true>(pixel + b * LANES, LANES) : load<false>(pixel + b * LANES, c.tail_lanes);
            if (from.has_affine) v = v * from.scale[b] + from.bias[b];
            Vec magnitude = abs(v);
            max_abs = magnitude > max_abs ? magnitude : max_abs;
            out[b * stride + i] = v;
        }
    return max_abs;
}

// `load_row_as` for a dtype, 0 float32 or 1 bfloat16; prefetch_next: prefetch the next row.
Vec load_row(const RowLoader &from, int64_t dtype, int64_t row, int64_t first, int count, Vec *out, int64_t stride,
             bool prefetch_next) {
    bool full = from.channels.tail_lanes == LANES;
    int64_t offset = prefetch_next ? from.width * from.channels.pixel_stride : 0;
    if (dtype == 0)
        return full ? load_row_as<float, true>(from, row, first, count, out, stride, offset)
                    : load_row_as<float, false>(from, row, first, count, out, stride, offset);
    return full ? load_row_as<uint16_t, true>(from, row, first, count, out, stride, offset)
                : load_row_as<uint16_t, false>(from, row, first, count, out, stride, offset);
}

// How a row is stored. STORE_TAIL: the last vector is partly filled. STORE_FULL: all are full.
enum { STORE_TAIL, STORE_FULL, STORE_NONTEMPORAL };

// Store `count` pixels of row [vectors][stride] times scale [vectors] to `out`.
template <class T, int MODE>
void store_row_as(T *out, const ChannelGroup &c, const Vec *row, int64_t stride, int count, const Vec *scale) {
    for (int i = 0; i < count; i++, out += c.pixel_stride)
        for (int b = 0; b < c.vectors; b++) {
            Vec v = row[b * stride + i] * scale[b];
            if (MODE == STORE_NONTEMPORAL) store_nontemporal(out + b * LANES, v);
            else if (MODE == STORE_FULL || b + 1 < c.vectors) store<true>(out + b * LANES, v, LANES);
            else store<false>(out + b * LANES, v, c.tail_lanes);
        }
}

template <class T>
void store_row(T *out, const ChannelGroup &c, const Vec *row, int64_t stride, int count, const Vec *scale,
               bool nontemporal) {
    if (c.tail_lanes < LANES) store_row_as<T, STORE_TAIL>(out, c, row, stride, count, scale);
    else if (nontemporal) store_row_as<T, STORE_NONTEMPORAL>(out, c, row, stride, count, scale);
    else store_row_as<T, STORE_FULL>(out, c, row, stride, count, scale);
}

struct LineBuffer {
    const PolyphaseUpsampler *upsampler;
    RowLoader loader;
    int64_t dtype;       // 0 float32, 1 bfloat16
    int64_t first_group; // of the tile's columns: the first input column
    int output_groups, columns;
    int offset;      // of the tile's first column in an upsampled row, which begins with a whole group
    Vec *ring;       // [vectors][rows_buffered][columns]
    Vec *phase_rows; // separable: [vectors][groups_per_pass * up_y][columns], the current groups upsampled vertically
    int row_slots[65];      // the ring's slot of each input row of the current groups
    float row_max_abs[65];  // by slot: the largest magnitude of the row
    int64_t current_group;  // the first group that phase_rows and row_slots are for
    int64_t next_input_row; // to load
    float output_bound;     // upper bound of |output| for the rows in the buffer

    // Size the buffer for `column_count` output columns from `first_column` on.
    void init(const PolyphaseUpsampler &stage, int64_t first_column, int column_count) {
        upsampler = &stage;
        first_group = stage.group_of_column(first_column);
        int64_t last = stage.group_of_column(first_column + column_count - 1);
        output_groups = round_up_int(last - first_group + 1, GROUP_MULTIPLE);
        columns = round_up_int(output_groups + stage.taps_per_phase_x - 1, COLUMN_MULTIPLE);
        offset = stage.phase_of_column(first_column);
    }

    // Sizes in vectors, for one vector of channels: the ring, phase_rows, and an output row of `upsample_row`.
    int64_t ring_size() const { return (int64_t)upsampler->rows_buffered() * columns; }
    int64_t phase_rows_size() const {
        return upsampler->separable ? (int64_t)upsampler->groups_per_pass() * upsampler->up_y * columns : 0;
    }
    int64_t output_row_size() const { return (int64_t)output_groups * upsampler->up_x; }

    // Begin at an output row.
    void start_at_row(int64_t first_row) {
        current_group = INT64_MIN;
        next_input_row = first_group_of_pass(first_row);
    }

    // The first of the groups that are upsampled together with the row's: an even one where there are two, so that all
    // tiles pair the same groups.
    int64_t first_group_of_pass(int64_t row) const {
        const int64_t group = upsampler->group_of_row(row);
        return upsampler->groups_per_pass() == 2 ? group & ~(int64_t)1 : group;
    }

    // Load the input rows that an output row needs, and upsample them vertically. Output rows come in ascending order.
    void advance(int64_t row) {
        const PolyphaseUpsampler &u = *upsampler;
        const int64_t wanted = first_group_of_pass(row), capacity = u.rows_buffered();
        if (wanted == current_group) return;
        current_group = wanted;
        auto slot_of = [capacity](int64_t k) { return (int)(((k % capacity) + capacity) % capacity); };
        for (next_input_row = std::max(next_input_row, current_group); next_input_row < current_group + capacity;
             next_input_row++) {
            int slot = slot_of(next_input_row);
            Vec *target = ring + (int64_t)slot * columns;
            if (next_input_row < 0 || next_input_row >= u.height) {
                for (int b = 0; b < loader.channels.vectors; b++)
                    std::fill(target + b * ring_size(), target + b * ring_size() + columns, Vec{});
                row_max_abs[slot] = 0;
            } else {
                bool prefetch_next = next_input_row + 1 < u.height;
                row_max_abs[slot] = reduce_max(load_row(loader, dtype, next_input_row, first_group, columns, target,
                                                        ring_size(), prefetch_next));
            }
        }
        float max_input = 0;
        for (int k = 0; k < capacity; k++) {
            row_slots[k] = slot_of(current_group + k);
            max_input = std::max(max_input, row_max_abs[row_slots[k]]);
        }
        output_bound = max_input * u.l1_gain;
        if (!u.separable) return;
        const bool use_ffa = !u.ffa_taps_y.empty() && output_bound < FFA_MAX_INPUT;
        for (int b = 0; b < loader.channels.vectors; b++) {
            const Vec *rows[65];
            for (int k = 0; k < capacity; k++) rows[k] = ring + b * ring_size() + (int64_t)row_slots[k] * columns;
            Vec *to = phase_rows + b * phase_rows_size();
            if (use_ffa)
                upsample_vertical_ffa({rows, u.ffa_taps_y.data(), u.up_y, u.taps_per_phase_y, columns, to, columns});
            else
                for (int g = 0; g < u.groups_per_pass(); g++)
                    u.vertical({rows + g, u.taps_y.data(), u.up_y, u.taps_per_phase_y, columns,
                                to + g * u.up_y * columns, columns});
        }
    }

    // After `advance(row)`: write the upsampled row of vector b to out [output_row_size()], activated if `activated`.
    // The tile's first column is at out[offset].
    void upsample_row(int b, int64_t row, Vec *out, bool activated, const LeakyReluClamp &activation) const {
        const PolyphaseUpsampler &u = *upsampler;
        int phase = u.phase_of_row(row);
        const Vec *rows[64];
        if (u.separable)
            rows[0] =
                phase_rows + b * phase_rows_size() + ((u.group_of_row(row) - current_group) * u.up_y + phase) * columns;
        else
            for (int k = 0; k < u.taps_per_phase_y; k++)
                rows[k] = ring + b * ring_size() + (int64_t)row_slots[k] * columns;
        bool slope_0_to_1 = activation.slope >= 0 && activation.slope <= 1;
        bool may_clamp = activation.has_clamp && !(output_bound < activation.clamp);
        int mode = !activated              ? IDENTITY
                   : may_clamp             ? LRELU_CLAMP
                   : !activation.has_slope ? IDENTITY
                   : slope_0_to_1          ? LRELU_AS_MAX
                                           : LRELU;
        bool use_ffa = !u.ffa_taps_x.empty() && output_bound < FFA_MAX_INPUT;
        int64_t first_tap = u.separable ? 0 : (int64_t)phase * u.taps_per_phase_y * u.up_x * u.taps_per_phase_x;
        const float *taps = use_ffa ? u.ffa_taps_x.data() : u.taps_x.data() + first_tap;
        (use_ffa ? u.horizontal_ffa : u.horizontal)[mode]({rows, taps, u.separable ? 1 : u.taps_per_phase_y, u.up_x,
                     u.taps_per_phase_x, output_groups, out, splat(activation.slope), splat(activation.clamp)});
    }
};

} // namespace

// Filtered leaky ReLU: bias, upsample, leaky ReLU, clamp, downsample; C++ form of ops/filtered_lrelu.py.
//
//     out = downsample(activation(u)) * output_scale,    u = upsample(x * input_scale + bias)
//     or, with `grad`, its derivative:
//     out = downsample(activation'(u) * grad_upsample(grad)) * output_scale
//
// Feature maps are [N,H,W,C] in memory, optionally with padding between pixels. A task is a rectangle of the output for
// a few vectors of channels. For each tile: load rows into a ring buffer, upsample vertically and horizontally,
// activate, downsample horizontally and vertically, scale and store, from the top row to the bottom row. The signal at
// the upsampled rate is never stored: one row of it exists at a time, or as many rows as a 2-D filter sees.
//
// Multiply-adds per output pixel and channel, with factors u (up) and d (down), K taps per phase of the first filter
// and T taps of the second: d^2 (1 + 1/u) K + (d + 1) T with separable filters, d^2 K^2 + T^2 with 2-D filters. Savings
// by FFA and symmetry, and rows and columns that neighboring tiles both compute, are not counted.
#pragma once
#include "thread_pool.h"
#include "line_buffer.h"
#include "workspace.h"
#include <new>

// Arguments of one call, as ops/kernels/cpu/filtered_lrelu.py fills them in. Images are float32 or bfloat16.
struct FilteredLreluArgs {
    const void *x;    // [N, upsampler.y.size_in, upsampler.x.size_in, C]
    const void *grad; // null, or [N, grad_upsampler.y.size_in, grad_upsampler.x.size_in, C]
    void *out;        // [N, downsampler.y.size_out, downsampler.x.size_out, C]
    const float *bias, *input_scale, *output_scale;   // [C] or null; the scales also [N][C]
    int64_t input_scale_stride, output_scale_stride;  // elements from one sample's scales to the next: 0 or C
    int64_t x_stride, grad_stride, out_stride;        // elements from one pixel to the next
    int64_t samples, channels;
    int64_t dtype_x, dtype_grad, dtype_out; // 0 float32, 1 bfloat16
    Resampler upsampler, grad_upsampler, downsampler;
    float slope, clamp; // a negative clamp means none
    int64_t threads;
};

namespace {

// How one call is cut into tasks: samples x tile rows x tile columns x groups of channels.
struct TilePlan {
    const FilteredLreluArgs &args;
    PolyphaseUpsampler upsampler, grad_upsampler;
    PolyphaseDownsampler downsampler;
    LeakyReluClamp activation;
    int vectors; // of channels per task
    int64_t channel_groups, tiles_x, tiles_y, tile_width, tile_height; // tile sizes in output pixels
    bool nontemporal;
    std::atomic<bool> out_of_memory{false};

    explicit TilePlan(const FilteredLreluArgs &call)
        : args(call), upsampler(call.upsampler), grad_upsampler(call.grad ? call.grad_upsampler : call.upsampler),
          downsampler(call.downsampler) {
        activation = {args.slope, args.clamp < 0 ? 0 : args.clamp, args.slope != 1, args.clamp >= 0};
        // The bound must hold after the slope as well as before it; 1.001 covers rounding.
        float max_slope = std::max(1.0f, args.slope < 0 ? -args.slope : args.slope) * 1.001f;
        upsampler.l1_gain *= max_slope;
        const AxisResampling &y = args.downsampler.y, &x = args.downsampler.x;
        // Up to 64 channels (256 bytes) per task; fewer where there would be too few tasks for the threads.
        int64_t all_vectors = ceil_div(args.channels, LANES), max_vectors = std::min(MAX_VECTORS, 64 / LANES);
        // Tiles of less than 64 upsampled rows would recompute too many rows that neighbors share.
        int64_t max_tiles_y = std::max<int64_t>(1, y.size_out * downsampler.down_y / 64);
        // Four tasks per thread, so that a thread that starts late delays little. Small images stay in the caches.
        int64_t wanted_tasks = args.threads > 1 ? 4 * args.threads : 1;
        int64_t min_tasks = max_tiles_y > 1 ? args.threads : wanted_tasks;
        while (max_vectors > 1 && args.samples * max_tiles_y * ceil_div(all_vectors, max_vectors) < min_tasks)
            max_vectors /= 2;
        vectors = (int)std::min(all_vectors, max_vectors);
        channel_groups = ceil_div(all_vectors, vectors);
        vectors = (int)ceil_div(all_vectors, channel_groups);
        // An upsampled row should stay in the first-level cache, the ring of rows in the second-level cache.
        int64_t max_upsampled_width = (downsampler.separable ? 304 : 172) * 16 / LANES;
        int64_t max_width =
            std::max<int64_t>(8, (max_upsampled_width - downsampler.tap_count_x) / downsampler.down_x + 1) / 8 * 8;
        tiles_x = ceil_div(x.size_out, max_width);
        tile_width = std::min<int64_t>(x.size_out, round_up_int(ceil_div(x.size_out, tiles_x), 8));
        tiles_x = ceil_div(x.size_out, tile_width);
        int64_t element_bytes = args.dtype_out == 0 ? 4 : 2;
        nontemporal = args.out_stride % LANES == 0 && round_up_int(args.channels, LANES) % 16 == 0 &&
                      (uintptr_t)args.out % 64 == 0 &&
                      args.samples * args.channels * y.size_out * x.size_out * element_bytes > NONTEMPORAL_BYTES;
        int64_t tasks_per_tile_row = args.samples * channel_groups * tiles_x;
        tiles_y = std::min(ceil_div(wanted_tasks, tasks_per_tile_row), max_tiles_y);
        tile_height = round_up_int(ceil_div(y.size_out, tiles_y), downsampler.rows_per_pass);
        tiles_y = ceil_div(y.size_out, tile_height);
    }

    int64_t tasks() const { return args.samples * tiles_x * tiles_y * channel_groups; }
    void run_tile(int64_t task);
};

// Load per-channel values [C], from channel `first` on, to out [vectors]; `default_value` where `values` is null.
void load_channel_params(const float *values, int64_t first, const ChannelGroup &c, float default_value, Vec *out) {
    for (int b = 0; b < c.vectors; b++)
        out[b] = values ? load<false>(values + first + b * LANES, b + 1 < c.vectors ? LANES : c.tail_lanes)
                        : splat(default_value);
}

void TilePlan::run_tile(int64_t task) {
    int64_t channel = task % channel_groups * vectors * LANES;
    task /= channel_groups;
    int64_t left = task % tiles_x * tile_width, top = task / tiles_x % tiles_y * tile_height;
    int64_t sample = task / tiles_x / tiles_y;
    const AxisResampling &down_axis_y = args.downsampler.y, &down_axis_x = args.downsampler.x;
    int64_t right = std::min(left + tile_width, down_axis_x.size_out);
    int64_t bottom = std::min(top + tile_height, down_axis_y.size_out);
    int width = (int)(right - left), padded_width = round_up_int(width, COLUMN_MULTIPLE);
    int64_t first_column = left * downsampler.down_x - down_axis_x.pad_before; // at the upsampled rate
    int upsampled_width = (width - 1) * downsampler.down_x + downsampler.tap_count_x;
    int64_t channels_left = std::min<int64_t>((int64_t)vectors * LANES, args.channels - channel);
    ChannelGroup c = {(int)ceil_div(channels_left, LANES), 0, 0};
    c.tail_lanes = (int)channels_left - (c.vectors - 1) * LANES;
    ChannelGroup stored = {c.vectors, args.out_stride >= round_up_int(args.channels, LANES) ? LANES : c.tail_lanes,
                           args.out_stride};

    LineBuffer x, grad;
    x.init(upsampler, first_column, upsampled_width);
    if (args.grad) grad.init(grad_upsampler, first_column, upsampled_width);
    int ring_rows = downsampler.tap_count_y + (downsampler.rows_per_pass - 1) * downsampler.down_y;
    // Micro-kernels work on whole multiples of columns and read beyond the row.
    int64_t row_size = x.output_row_size() + padded_width * downsampler.down_x + downsampler.tap_count_x + 64;
    if (args.grad) row_size = std::max(row_size, grad.output_row_size() + 64);
    int64_t ring_size = ring_rows * (downsampler.separable ? padded_width : row_size);
    int64_t row_buffers = (downsampler.separable ? 1 : 0) + (args.grad ? 1 : 0);
    Vec *free_memory = workspace.get(
        c.vectors * (x.ring_size() + x.phase_rows_size() + ring_size + downsampler.rows_per_pass * padded_width) +
        row_buffers * row_size + (args.grad ? c.vectors * (grad.ring_size() + grad.phase_rows_size()) : 0));
    if (!free_memory) {
        out_of_memory = true;
        return;
    }
    auto bump_alloc = [&free_memory](int64_t size) {
        Vec *allocated = free_memory;
        free_memory += size;
        return allocated;
    };
    auto init_source = [&](LineBuffer &source, const void *image, int64_t dtype, int64_t pixel_stride) {
        int64_t element_bytes = dtype == 0 ? 4 : 2;
        int64_t start = sample * source.upsampler->height * source.upsampler->width * pixel_stride + channel;
        source.loader.image = (const char *)image + start * element_bytes;
        source.loader.width = source.upsampler->width;
        source.loader.channels = {c.vectors, c.tail_lanes, pixel_stride};
        source.loader.has_affine = false;
        source.dtype = dtype;
        source.ring = bump_alloc(c.vectors * source.ring_size());
        source.phase_rows = bump_alloc(c.vectors * source.phase_rows_size());
    };
    init_source(x, args.x, args.dtype_x, args.x_stride);
    if (args.bias || args.input_scale) {
        x.loader.has_affine = true;
        load_channel_params(args.input_scale ? args.input_scale + sample * args.input_scale_stride : nullptr, channel,
                            c, 1, x.loader.scale);
        load_channel_params(args.bias, channel, c, 0, x.loader.bias);
    }
    Vec output_scale[MAX_VECTORS];
    load_channel_params(args.output_scale ? args.output_scale + sample * args.output_scale_stride : nullptr, channel, c,
                        1, output_scale);
    if (args.grad) init_source(grad, args.grad, args.dtype_grad, args.grad_stride);
    Vec *grad_row = args.grad ? bump_alloc(row_size) : nullptr;
    Vec *x_row = downsampler.separable ? bump_alloc(row_size) : nullptr;
    // Separable: ring of horizontally downsampled rows. 2-D: ring of upsampled rows, all of which the filter sees.
    Vec *ring = bump_alloc(c.vectors * ring_size);
    // [vectors][rows_per_pass][padded_width]
    Vec *result = bump_alloc(c.vectors * downsampler.rows_per_pass * padded_width);

    int64_t next_row = top * downsampler.down_y - down_axis_y.pad_before; // the next upsampled row to compute
    const int64_t first_row = next_row;
    auto ring_row = [&](int b, int64_t row) {
        return ring + b * ring_size + (row - first_row) % ring_rows * (downsampler.separable ? padded_width : row_size);
    };
    int64_t first_row_inside = std::min(std::max<int64_t>(next_row, 0), down_axis_y.size_in);
    x.start_at_row(first_row_inside);
    if (args.grad) grad.start_at_row(first_row_inside);
    for (int64_t y = top; y < bottom; y += downsampler.rows_per_pass) {
        int out_rows = (int)std::min<int64_t>(downsampler.rows_per_pass, bottom - y);
        int64_t start = y * downsampler.down_y - down_axis_y.pad_before;
        int64_t stop = start + (out_rows - 1) * downsampler.down_y + downsampler.tap_count_y;
        for (next_row = std::max(next_row, start); next_row < stop; next_row++) {
            bool inside = next_row >= 0 && next_row < down_axis_y.size_in; // else beyond the upsampled image: zeros
            if (inside) x.advance(next_row);
            if (inside && args.grad) grad.advance(next_row);
            for (int b = 0; b < c.vectors; b++) {
                Vec *in_ring = ring_row(b, next_row), *target = downsampler.separable ? x_row : in_ring;
                if (!inside) {
                    std::fill(in_ring, in_ring + ring_size / ring_rows, Vec{});
                    continue;
                }
                x.upsample_row(b, next_row, target, !args.grad, activation);
                const Vec *samples = target + x.offset;
                if (args.grad) {
                    grad.upsample_row(b, next_row, grad_row, false, activation);
                    multiply_activation_grad(target + x.offset, grad_row + grad.offset, upsampled_width, activation,
                                             !(x.output_bound < activation.clamp));
                }
                for (int64_t i = 0; i < std::min<int64_t>(-first_column, upsampled_width); i++)
                    target[x.offset + i] = Vec{};
                for (int64_t i = std::max<int64_t>(0, down_axis_x.size_in - first_column); i < upsampled_width; i++)
                    target[x.offset + i] = Vec{};
                if (!downsampler.separable) continue;
                downsampler.horizontal({&samples, downsampler.taps_x.data(), 1, 0, 0, downsampler.down_x,
                                        downsampler.tap_count_x, padded_width, 1, in_ring, 0});
            }
        }
        for (int b = 0; b < c.vectors; b++) {
            const Vec *rows[128];
            int offset = downsampler.separable ? 0 : x.offset;
            for (int k = 0; k < (int)(stop - start); k++) rows[k] = ring_row(b, start + k) + offset;
            Vec *to = result + b * downsampler.rows_per_pass * padded_width;
            if (downsampler.separable) {
                DownsampleColumnFn vertical = downsampler.vertical[out_rows - 1];
                vertical({rows, downsampler.taps_y.data(), downsampler.down_y, downsampler.tap_count_y, padded_width,
                          to, padded_width});
            } else {
                int row_count = downsampler.symmetric_rows ? downsampler.tap_count_y / 2 : downsampler.tap_count_y;
                downsampler.horizontal({rows, downsampler.taps_x.data(), row_count, downsampler.tap_count_y - 1,
                                        downsampler.down_y, downsampler.down_x, downsampler.tap_count_x, padded_width,
                                        out_rows, to, padded_width});
            }
        }
        for (int p = 0; p < out_rows; p++) {
            int64_t position =
                ((sample * down_axis_y.size_out + y + p) * down_axis_x.size_out + left) * args.out_stride + channel;
            const Vec *row = result + p * padded_width;
            int64_t stride = downsampler.rows_per_pass * padded_width;
            if (args.dtype_out == 0)
                store_row((float *)args.out + position, stored, row, stride, width, output_scale, nontemporal);
            else store_row((uint16_t *)args.out + position, stored, row, stride, width, output_scale, nontemporal);
        }
    }
    if (nontemporal) nontemporal_fence();
}

// 0, or 1 if there was not enough memory.
int filtered_lrelu(const FilteredLreluArgs &args) {
    try {
        TilePlan plan(args);
        auto run_tile = [](void *context, int64_t task) { ((TilePlan *)context)->run_tile(task); };
        ThreadPool::shared().run(run_tile, &plan, plan.tasks(), (int)args.threads);
        return plan.out_of_memory ? 1 : 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

} // namespace

// Bias, upsample, leaky ReLU, clamp, downsample, tile by tile in cache: the C++ form of ops/filtered_lrelu.py.
//
// Pictures are [N,H,W,C] in memory, with room between pixels if need be. One task works on a few vectors of channels and
// a rectangle of the output; it goes down the rows: samples are loaded (converted, scaled, biased) into a ring, raised
// across and along the rows, bent, lowered along and then across the rows, scaled and stored. Filters are
// `ops.polyphase.Span`s, the same for every size; the filter taps of 2-D filters are taken together with those along the rows.
//
// With `v` it is the derivative: after(kink'(raise(x + b)) * before(v)).
#pragma once
#include "thread_pool.h"
#include "line_buffer.h"
#include "workspace.h"
#include <new>

// One call, as cpu.py fills it in.
struct Job {
    const void *x, *v;
    void *out;
    const float *bias, *scale, *gain; // [C] or null; scale and gain may be [N][C]: then the steps are C
    int64_t scale_step, gain_step;
    int64_t x_stride, v_stride, out_stride; // numbers from one pixel to the next
    int64_t samples, channels, dtype_in, dtype_v, dtype_out; // dtypes: 0 float32, 1 bfloat16
    Leg raise, before, after;
    float slope, clamp; // a negative clamp is none
    int64_t threads;
};

namespace {

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
        // Up to 64 channels, or 256 bytes, together; fewer where there would be too little for the threads to share.
        int64_t vectors = ceiling(job.channels, LANES), most = std::min(MOST_BLOCKS, 64 / LANES);
        int64_t most_tiles_y = std::max<int64_t>(1, y.out * lower.down_y / 64); // lower ones would share too many rows
        int64_t wanted = job.threads > 1 ? 4 * job.threads : 1; // tasks, so that a thread that comes late delays little
        int64_t least = most_tiles_y > 1 ? job.threads : wanted; // small pictures are in the caches at any rate
        while (most > 1 && job.samples * most_tiles_y * ceiling(vectors, most) < least) most /= 2;
        blocks = (int)std::min(vectors, most);
        stretches = ceiling(vectors, blocks);
        blocks = (int)ceiling(vectors, stretches);
        // A raised row should stay in the first cache, the ring of rows in the second.
        int64_t budget = (lower.separable ? 304 : 172) * 16 / LANES;
        int64_t widest = std::max<int64_t>(8, (budget - lower.taps_x) / lower.down_x + 1) / 8 * 8;
        tiles_x = ceiling(x.out, widest);
        tile_width = std::min<int64_t>(x.out, round_up(ceiling(x.out, tiles_x), 8));
        tiles_x = ceiling(x.out, tile_width);
        int64_t size = job.dtype_out == 0 ? 4 : 2;
        streams = job.out_stride % LANES == 0 && round_up(job.channels, LANES) % 16 == 0 && (uintptr_t)job.out % 64 == 0 &&
                  job.samples * job.channels * y.out * x.out * size > LARGE;
        int64_t so_far = job.samples * stretches * tiles_x;
        tiles_y = std::min(ceiling(wanted, so_far), most_tiles_y);
        tile_height = round_up(ceiling(y.out, tiles_y), lower.rows_at_once);
        tiles_y = ceiling(y.out, tile_height);
    }

    int64_t tasks() const { return job.samples * tiles_x * tiles_y * stretches; }
    void tile(int64_t task);
};

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
    Channels c = {(int)ceiling(rest, LANES), 0, 0};
    c.lanes = (int)rest - (c.blocks - 1) * LANES;
    Channels written = {c.blocks, job.out_stride >= round_up(job.channels, LANES) ? LANES : c.lanes, job.out_stride};

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
    auto open = [&](Source &source, const void *picture, int64_t dtype, int64_t row) {
        int64_t size = dtype == 0 ? 4 : 2;
        int64_t start = sample * source.raiser->height * source.raiser->width * row + channel;
        source.from.picture = (const char *)picture + start * size;
        source.from.width = source.raiser->width;
        source.from.channels = {c.blocks, c.lanes, row};
        source.from.affine = false;
        source.dtype = dtype;
        source.ring = take(c.blocks * source.ring_size());
        source.phases = take(c.blocks * source.phases_size());
    };
    open(x, job.x, job.dtype_in, job.x_stride);
    if (job.bias || job.scale) {
        x.from.affine = true;
        numbers(job.scale ? job.scale + sample * job.scale_step : nullptr, channel, c, 1, x.from.scale);
        numbers(job.bias, channel, c, 0, x.from.bias);
    }
    Vec gain[MOST_BLOCKS];
    numbers(job.gain ? job.gain + sample * job.gain_step : nullptr, channel, c, 1, gain);
    if (job.v) open(v, job.v, job.dtype_v, job.v_stride);
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
            int64_t place = ((sample * ay.out + y + p) * ax.out + left) * job.out_stride + channel;
            const Vec *row = result + p * wide;
            int64_t stride = lower.rows_at_once * wide;
            if (job.dtype_out == 0) store_row((float *)job.out + place, written, row, stride, width, gain, streams);
            else store_row((uint16_t *)job.out + place, written, row, stride, width, gain, streams);
        }
    }
    if (streams) finish_streams();
}

// 0, or 1 if there was not enough memory.
int filtered_lrelu(const Job &job) {
    try {
        Plan plan(job);
        auto work = [](void *context, int64_t task) { ((Plan *)context)->tile(task); };
        Pool::shared().run(work, &plan, plan.tasks(), (int)job.threads);
        return plan.failed ? 1 : 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

} // namespace

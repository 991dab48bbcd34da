// 1x1 convolution in channels_last memory: a GEMM of pixels by weights, by Strassen's algorithm for many channels.
//
// O(pixels * in * out) multiply-adds, 7/8 or 49/64 of that with gemm_strassen.h. Each sum runs over the channels in
// order, so that results depend on neither threads nor blocks.
#pragma once
#include "thread_pool.h"
#include "gemm.h"
#include "workspace.h"
#include "gemm_strassen.h"
#include <atomic>

namespace conv1x1 {

constexpr int64_t INPUT_BYTES_PER_TASK = 192 << 10; // of the pixels; they stay in the second-level cache

// Number of elements that `pack_weights` writes.
inline int64_t packed_size(int64_t out_channels, int64_t in_channels) {
    if (strassen::num_levels(out_channels, in_channels)) return strassen::packed_size(out_channels, in_channels);
    return in_channels * round_up(out_channels, LANES);
}

// weight [out_channels, in_channels] to packed [panels][in_channels][NR]; the last panel may be narrower.
inline void pack_weights(const float *weight, int64_t out_channels, int64_t in_channels, float *packed) {
    if (strassen::num_levels(out_channels, in_channels))
        return strassen::pack_weights(weight, out_channels, in_channels, packed);
    const int64_t columns = round_up(out_channels, LANES);
    for (int64_t o = 0; o < columns; o++) {
        int64_t first = o / NR * NR, panel_width = std::min(NR, columns - first);
        for (int64_t c = 0; c < in_channels; c++)
            packed[first * in_channels + c * panel_width + o - first] =
                o < out_channels ? weight[o * in_channels + c] : 0.0f;
    }
}

// What the tasks of one call share.
struct Context {
    const ConvArgs &args;
    int64_t pixels, pixels_per_task, threads;
    int strassen_levels;
    std::atomic<bool> out_of_memory{false};
};

// Pixels [first, last) times input_scale, to a [last - first][padded_stride(in_channels)].
inline void load_scaled_pixels(const ConvArgs &args, int64_t first, int64_t last, float *a) {
    const int64_t a_stride = padded_stride(args.in_channels);
    for (int64_t c = 0; c < args.in_channels; c += LANES) {
        int count = (int)std::min<int64_t>(LANES, args.in_channels - c);
        Vec scale = load_scales(args.input_scale, c, count);
        const float *from = args.x + first * args.x_stride + c;
        float *to = a + c;
        for (int64_t p = first; p < last; p++, from += args.x_stride, to += a_stride) {
            Vec x = count == LANES ? load<true>(from, count) : load<false>(from, count);
            store<true>(to, x * scale, LANES);
        }
    }
}

inline void run_task(void *opaque, int64_t task) {
    Context &context = *(Context *)opaque;
    const ConvArgs &args = context.args;
    const int64_t first = task * context.pixels_per_task;
    const int64_t last = std::min(first + context.pixels_per_task, context.pixels);
    const int64_t a_stride = padded_stride(args.in_channels), rows = last - first;
    const int64_t workspace_elements = context.strassen_levels
                                           ? strassen::workspace_elements(args, rows, context.strassen_levels)
                                           : context.pixels_per_task * (a_stride + NR);
    float *a = (float *)workspace.get(workspace_elements / LANES + 1);
    if (!a) {
        context.out_of_memory = true;
        return;
    }
    float *out = args.out + first * args.out_stride;
    // Meanwhile prefetch the pixels of the task that this thread will probably run next.
    const int64_t next = std::min(first + context.pixels_per_task * context.threads, context.pixels);
    const int64_t calls = context.strassen_levels ? strassen::microkernel_calls(args, rows, context.strassen_levels)
                                                  : microkernel_calls(rows, args.in_channels, args.out_channels);
    Prefetcher prefetcher{
        (const char *)(args.x + next * args.x_stride),
        (const char *)(args.x + std::min(next + context.pixels_per_task, context.pixels) * args.x_stride)};
    prefetcher.lines_per_call = (int)((prefetcher.end - prefetcher.next) / 64 / calls) + 1;
    if (context.strassen_levels) {
        strassen::multiply(args, args.x + first * args.x_stride, out, rows, context.strassen_levels, a, prefetcher);
        return;
    }
    load_scaled_pixels(args, first, last, a);
    Tile partial{a + context.pixels_per_task * a_stride, NR};
    for (int64_t o = 0; o < args.out_channels; o += NR) {
        int64_t columns = std::min(NR, args.out_channels_padded() - o);
        gemm_panel(a, a_stride, args.weights + o * args.in_channels, args.in_channels, partial,
                   {out + o, args.out_stride}, rows, columns, prefetcher);
        if (!args.output_scale) continue;
        for (int64_t p = 0; p < rows; p++)
            for (int64_t i = o; i < std::min(o + columns, args.out_channels); i++)
                out[p * args.out_stride + i] *= args.output_scale[i];
    }
}

// Return whether there was enough memory.
inline bool run(const ConvArgs &args) {
    const int64_t pixels = args.height * args.width, threads = std::max<int64_t>(1, args.threads);
    const int strassen_levels = strassen::num_levels(args.out_channels, args.in_channels);
    int64_t pixels_per_task = strassen::ROWS_PER_BLOCK;
    if (!strassen_levels) {
        const int64_t max_pixels = std::max<int64_t>(1, INPUT_BYTES_PER_TASK / (4 * padded_stride(args.in_channels)));
        const int64_t tasks = round_up((pixels + max_pixels - 1) / max_pixels, threads);
        pixels_per_task = round_up((pixels + tasks - 1) / tasks, MR);
    }
    Context context{args, pixels, pixels_per_task, threads, strassen_levels};
    ThreadPool::shared().run(run_task, &context, (pixels + pixels_per_task - 1) / pixels_per_task, (int)threads);
    return !context.out_of_memory;
}

} // namespace conv1x1

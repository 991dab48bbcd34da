// Per-channel operations on feature maps [N,H,W,C]: scaling, and dot products over the pixels. C++ form of
// ops/channel_scale.py. Both are O(N H W C) and limited by memory bandwidth.
#pragma once
#include "thread_pool.h"
#include <algorithm>
#include <cstdint>
#include <vector>

constexpr int64_t PIXELS_PER_TASK = 512; // fixed, so that sums do not depend on the number of threads

struct ChannelOpArgs {
    const float *x; // [N][pixels][C]
    const float *y; // scale_channels: scales [N][C]; dot_channels: [N][pixels][C]
    float *out;     // scale_channels: [N][pixels][C]; dot_channels: [N][C]
    int64_t samples, pixels, channels;
    int64_t pixel_blocks; // tasks per sample
    float *partial_sums;  // dot_channels: [N][pixel_blocks][C]
};

inline void scale_channels_task(void *context, int64_t task) {
    const ChannelOpArgs &args = *(const ChannelOpArgs *)context;
    int64_t sample = task / args.pixel_blocks, first = task % args.pixel_blocks * PIXELS_PER_TASK;
    int64_t last = std::min(first + PIXELS_PER_TASK, args.pixels), channels = args.channels;
    const float *__restrict scale = args.y + sample * channels;
    for (int64_t p = sample * args.pixels + first; p < sample * args.pixels + last; p++) {
        const float *__restrict x = args.x + p * channels;
        float *__restrict out = args.out + p * channels;
        for (int64_t c = 0; c < channels; c++) out[c] = x[c] * scale[c];
    }
}

inline void dot_channels_task(void *context, int64_t task) {
    const ChannelOpArgs &args = *(const ChannelOpArgs *)context;
    int64_t sample = task / args.pixel_blocks, first = task % args.pixel_blocks * PIXELS_PER_TASK;
    int64_t last = std::min(first + PIXELS_PER_TASK, args.pixels), channels = args.channels;
    float *__restrict sum = args.partial_sums + task * channels;
    std::fill(sum, sum + channels, 0.0f);
    for (int64_t p = sample * args.pixels + first; p < sample * args.pixels + last; p++) {
        const float *__restrict x = args.x + p * channels, *__restrict y = args.y + p * channels;
        for (int64_t c = 0; c < channels; c++) sum[c] += x[c] * y[c];
    }
}

// out[n,p,c] = x[n,p,c] * scale[n,c]
inline void scale_channels(ChannelOpArgs args, int threads) {
    args.pixel_blocks = (args.pixels + PIXELS_PER_TASK - 1) / PIXELS_PER_TASK;
    ThreadPool::shared().run(scale_channels_task, &args, args.samples * args.pixel_blocks, threads);
}

// out[n,c] = sum over p of x[n,p,c] * y[n,p,c]; the sums of the blocks are added in float64. Throws std::bad_alloc.
inline void dot_channels(ChannelOpArgs args, int threads) {
    args.pixel_blocks = (args.pixels + PIXELS_PER_TASK - 1) / PIXELS_PER_TASK;
    std::vector<float> partial_sums(args.samples * args.pixel_blocks * args.channels);
    args.partial_sums = partial_sums.data();
    ThreadPool::shared().run(dot_channels_task, &args, args.samples * args.pixel_blocks, threads);
    for (int64_t n = 0; n < args.samples; n++)
        for (int64_t c = 0; c < args.channels; c++) {
            double sum = 0;
            for (int64_t i = 0; i < args.pixel_blocks; i++)
                sum += args.partial_sums[(n * args.pixel_blocks + i) * args.channels + c];
            args.out[n * args.channels + c] = (float)sum;
        }
}

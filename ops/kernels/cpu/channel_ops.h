// Pictures [N,H,W,C] whose channels are scaled, or multiplied with another's and summed over the pixels: the C++ form
// of ops/channel_scale.py.
#pragma once
#include "thread_pool.h"
#include <algorithm>
#include <cstdint>
#include <vector>

constexpr int64_t PIXELS = 512; // of a task; fixed, so that sums do not depend on the number of threads

struct Channelwise {
    const float *x, *y; // y: [N][C] to scale with, or pictures
    float *out;         // pictures, or [N][C]
    int64_t samples, pixels, channels, stretches;
    float *sums; // [N][stretches][C]
};

inline void scale_stretch(void *context, int64_t task) {
    const Channelwise &job = *(const Channelwise *)context;
    int64_t sample = task / job.stretches, first = task % job.stretches * PIXELS;
    int64_t last = std::min(first + PIXELS, job.pixels), channels = job.channels;
    const float *__restrict s = job.y + sample * channels;
    for (int64_t p = sample * job.pixels + first; p < sample * job.pixels + last; p++) {
        const float *__restrict x = job.x + p * channels;
        float *__restrict out = job.out + p * channels;
        for (int64_t c = 0; c < channels; c++) out[c] = x[c] * s[c];
    }
}

inline void dot_stretch(void *context, int64_t task) {
    const Channelwise &job = *(const Channelwise *)context;
    int64_t sample = task / job.stretches, first = task % job.stretches * PIXELS;
    int64_t last = std::min(first + PIXELS, job.pixels), channels = job.channels;
    float *__restrict sum = job.sums + task * channels;
    std::fill(sum, sum + channels, 0.0f);
    for (int64_t p = sample * job.pixels + first; p < sample * job.pixels + last; p++) {
        const float *__restrict x = job.x + p * channels, *__restrict y = job.y + p * channels;
        for (int64_t c = 0; c < channels; c++) sum[c] += x[c] * y[c];
    }
}

// out[n,p,c] = x[n,p,c] * scale[n,c]
inline void scale_channels(Channelwise job, int threads) {
    job.stretches = (job.pixels + PIXELS - 1) / PIXELS;
    Pool::shared().run(scale_stretch, &job, job.samples * job.stretches, threads);
}

// out[n,c] = sum over p of x[n,p,c] * y[n,p,c]
inline void dot_channels(Channelwise job, int threads) {
    job.stretches = (job.pixels + PIXELS - 1) / PIXELS;
    std::vector<float> sums(job.samples * job.stretches * job.channels);
    job.sums = sums.data();
    Pool::shared().run(dot_stretch, &job, job.samples * job.stretches, threads);
    for (int64_t n = 0; n < job.samples; n++)
        for (int64_t c = 0; c < job.channels; c++) {
            double sum = 0;
            for (int64_t i = 0; i < job.stretches; i++) sum += job.sums[(n * job.stretches + i) * job.channels + c];
            job.out[n * job.channels + c] = (float)sum;
        }
}

// 1x1 convolution of a picture in channels_last memory: the product of its pixels with a matrix of weights. Of many
// channels it is gemm_strassen.h's. Otherwise each sum is over the channels in their order, so that neither threads nor blocks
// change a bit.
#pragma once
#include "thread_pool.h"
#include "gemm.h"
#include "workspace.h"
#include "gemm_strassen.h"
#include <atomic>

namespace pointwise {

constexpr int64_t NEAR = 192 << 10; // bytes of the pixels that one task works on

// How many numbers `pack` writes.
inline int64_t packed_size(int64_t results, int64_t channels) {
    if (strassen::levels(results, channels)) return strassen::packed_size(results, channels);
    return channels * up_to(results, LANES);
}

// weight [results, channels] to [panels, channels, a panel's results]; the last panel may be narrower.
inline void pack(const float *weight, int64_t results, int64_t channels, float *packed) {
    if (strassen::levels(results, channels)) return strassen::pack(weight, results, channels, packed);
    const int64_t all = up_to(results, LANES);
    for (int64_t o = 0; o < all; o++) {
        int64_t first = o / PANEL * PANEL, wide = std::min(PANEL, all - first);
        for (int64_t c = 0; c < channels; c++)
            packed[first * channels + c * wide + o - first] = o < results ? weight[o * channels + c] : 0.0f;
    }
}

struct Pixels {
    const Convolution &job;
    int64_t all, each, threads;
    int levels; // of gemm_strassen.h
    std::atomic<bool> failed{false};
};

// The pixels [first, last), scaled, to v.
inline void take(const Convolution &job, int64_t first, int64_t last, float *v) {
    const int64_t row = spaced(job.channels);
    for (int64_t c = 0; c < job.channels; c += LANES) {
        int count = (int)std::min<int64_t>(LANES, job.channels - c);
        Vec scale = factors(job.scale, c, count);
        const float *from = job.x + first * job.x_stride + c;
        float *to = v + c;
        for (int64_t p = first; p < last; p++, from += job.x_stride, to += row) {
            Vec x = count == LANES ? load<true>(from, count) : load<false>(from, count);
            store<true>(to, x * scale, LANES);
        }
    }
}

inline void some_pixels(void *context, int64_t task) {
    Pixels &pixels = *(Pixels *)context;
    const Convolution &job = pixels.job;
    const int64_t first = task * pixels.each, last = std::min(first + pixels.each, pixels.all);
    const int64_t row = spaced(job.channels), rows = last - first;
    const int64_t room = pixels.levels ? strassen::room(job, rows, pixels.levels) : pixels.each * (row + PANEL);
    float *v = (float *)scratch.get(room / LANES + 1);
    if (!v) {
        pixels.failed = true;
        return;
    }
    float *out = job.out + first * job.out_stride;
    // The next pixels come to the second cache meanwhile: those of the task that this thread will probably be given.
    const int64_t next = std::min(first + pixels.each * pixels.threads, pixels.all);
    const int64_t calls = pixels.levels ? strassen::calls(job, rows, pixels.levels) : blocks_of(rows, job.channels, job.results);
    Ahead ahead{(const char *)(job.x + next * job.x_stride),
                (const char *)(job.x + std::min(next + pixels.each, pixels.all) * job.x_stride)};
    ahead.lines = (int)((ahead.end - ahead.at) / 64 / calls) + 1;
    if (pixels.levels) {
        strassen::multiply_pixels(job, job.x + first * job.x_stride, out, rows, pixels.levels, v, ahead);
        return;
    }
    take(job, first, last, v);
    Sums between{v + pixels.each * row, PANEL};
    for (int64_t o = 0; o < job.results; o += PANEL) {
        int64_t wide = std::min(PANEL, job.written() - o);
        multiply_panel(v, row, job.weights + o * job.channels, job.channels, between, {out + o, job.out_stride},
                       rows, wide, ahead);
        if (!job.gain) continue;
        for (int64_t p = 0; p < rows; p++)
            for (int64_t i = o; i < std::min(o + wide, job.results); i++) out[p * job.out_stride + i] *= job.gain[i];
    }
}

// Whether there was enough memory.
inline bool run(const Convolution &job) {
    const int64_t all = job.height * job.width, threads = std::max<int64_t>(1, job.threads);
    const int levels = strassen::levels(job.results, job.channels);
    int64_t each = strassen::TOGETHER;
    if (!levels) {
        const int64_t most = std::max<int64_t>(1, NEAR / (4 * spaced(job.channels)));
        const int64_t tasks = up_to((all + most - 1) / most, threads);
        each = up_to((all + tasks - 1) / tasks, ROWS_AT_ONCE);
    }
    Pixels pixels{job, all, each, threads, levels};
    Pool::shared().run(some_pixels, &pixels, (all + each - 1) / each, (int)threads);
    return !pixels.failed;
}

} // namespace pointwise

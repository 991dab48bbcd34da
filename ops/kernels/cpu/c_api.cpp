// What Python calls: the CPU kernel's parts, with a plain C interface.
#include "channel_ops.h"
#include "synthesis_layer.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

// 0, or 1 if there was not enough memory.
EXPORT int bandlimit_filtered_lrelu(const Job *job) { return filtered_lrelu(*job); }

// A layer of StyleGAN3, see synthesis_layer.h. 0, or 1 if there was not enough memory.
EXPORT int bandlimit_layer(const Layer *layer) { return run_layer(*layer); }

// Pictures [N,pixels,C] times scales [N,C]; and the sums [N,C] of the products of two pictures (1: no memory).
EXPORT void bandlimit_scale_channels(const float *x, const float *scale, float *out, const int64_t *size, int threads) {
    scale_channels({x, scale, out, size[0], size[1], size[2], 0, nullptr}, threads);
}
EXPORT int bandlimit_dot_channels(const float *x, const float *y, float *out, const int64_t *size, int threads) {
    try {
        dot_channels({x, y, out, size[0], size[1], size[2], 0, nullptr}, threads);
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

// A convolution with kernels of 1x1 or 3x3, and its weights as it wants them: see conv1x1.h and conv3x3_winograd.h. 0, or 1 if
// there was not enough memory.
EXPORT int bandlimit_convolve(const Convolution *job, int64_t kernel) {
    return (kernel == 1 ? pointwise::run(*job) : winograd::run(*job)) ? 0 : 1;
}
EXPORT int64_t bandlimit_packed_size(int64_t results, int64_t channels, int64_t kernel) {
    return kernel == 1 ? pointwise::packed_size(results, channels) : winograd::packed_size(results, channels);
}
EXPORT void bandlimit_pack(const float *weight, int64_t results, int64_t channels, int64_t kernel, float *packed) {
    if (kernel == 1) pointwise::pack(weight, results, channels, packed);
    else winograd::pack(weight, results, channels, packed);
}

// The version of `Job`, and how many channels a vector holds.
EXPORT int bandlimit_version() { return 5; }
EXPORT int bandlimit_lanes() { return LANES; }

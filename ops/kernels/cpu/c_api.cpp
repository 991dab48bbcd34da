// The CPU kernels' C interface, which Python calls through ctypes.
//
// The structs' fields are those of the ctypes.Structures in ops/kernels/cpu/*.py, in the same order. Functions that
// return int return 0, or 1 if there was not enough memory.
#include "channel_ops.h"
#include "synthesis_layer.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

EXPORT int bandlimit_filtered_lrelu(const FilteredLreluArgs *args) { return filtered_lrelu(*args); }

EXPORT int bandlimit_layer(const SynthesisLayerArgs *args) { return run_synthesis_layer(*args); }

// size [3]: N, pixels, C. x [N,pixels,C], scale [N,C], out [N,pixels,C].
EXPORT void bandlimit_scale_channels(const float *x, const float *scale, float *out, const int64_t *size, int threads) {
    scale_channels({x, scale, out, size[0], size[1], size[2], 0, nullptr}, threads);
}
// size as above. x, y [N,pixels,C], out [N,C].
EXPORT int bandlimit_dot_channels(const float *x, const float *y, float *out, const int64_t *size, int threads) {
    try {
        dot_channels({x, y, out, size[0], size[1], size[2], 0, nullptr}, threads);
        return 0;
    } catch (const std::bad_alloc &) {
        return 1;
    }
}

// kernel: 1 or 3. bandlimit_pack: weight [out_channels, kernel, kernel, in_channels] to packed [bandlimit_packed_size].
EXPORT int bandlimit_convolve(const ConvArgs *args, int64_t kernel) {
    return (kernel == 1 ? conv1x1::run(*args) : winograd::run(*args)) ? 0 : 1;
}
EXPORT int64_t bandlimit_packed_size(int64_t out_channels, int64_t in_channels, int64_t kernel) {
    return kernel == 1 ? conv1x1::packed_size(out_channels, in_channels)
                       : winograd::packed_size(out_channels, in_channels);
}
EXPORT void bandlimit_pack(const float *weight, int64_t out_channels, int64_t in_channels, int64_t kernel,
                           float *packed) {
    if (kernel == 1) conv1x1::pack_weights(weight, out_channels, in_channels, packed);
    else winograd::filter_transform(weight, out_channels, in_channels, packed);
}

// The version of this interface, which loader.py compares; channels per vector.
EXPORT int bandlimit_version() { return 5; }
EXPORT int bandlimit_lanes() { return LANES; }

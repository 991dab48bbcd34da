// Filtered leaky ReLU: one tile of one plane per block, whose upsampled signal never leaves shared memory.
//
//     out = downsample(activation(u)) * output_scale,    u = upsample(x * input_scale + bias)
//     or, with IS_GRAD, its derivative:
//     out = downsample(activation'(u) * grad_upsample(grad)) * output_scale
//
// G, made by filtered_lrelu_tiling.py, holds every size that is known when the kernel is compiled. G::Upsampler and
// G::GradUpsampler: SEPARABLE, UP, TAPS, and their input tile (ROWS, COLUMNS, PITCH). TILE_H, TILE_W: outputs of a
// block. UPSAMPLED_H, _W, _PITCH: the upsampled tile. UP_RUN, DOWN_RUN: neighboring samples that a thread computes at a
// time. SPLIT: columns of the upsampled tile are stored in that many parts (see common.cuh), DOWN for a 2-D
// downsampling filter, which reads every DOWN-th column, else 1. SHIFT_Y, _X: the upsampled tile begins this much
// early, to be in phase. INTERMEDIATE_OFFSET, INPUT_OFFSET, UPSAMPLED_OFFSET: the regions of shared memory.
template <class G> struct FilteredLrelu {
    const void *x, *grad;  // [N, C, x_height, x_width]; [N, C, grad_height, grad_width] or null
    void* out;             // [N, C, out_height, out_width]
    const float *bias, *input_scale, *output_scale;  // [C], [N * C], [N * C], or null
    int channels, x_height, x_width, grad_height, grad_width, upsampled_height, upsampled_width, out_height, out_width;
    int tiles_x, tiles;  // tiles in a row, and in a plane
    int up_offset_y, up_offset_x, grad_offset_y, grad_offset_x;  // input tile starts at (output * DOWN - offset) / UP
    int down_offset_y, down_offset_x;  // upsampled tile starts at output * DOWN - offset
    float slope, clamp;                // clamp: infinity for none
    // Separable filters: [2][TAPS], along y, then along x; else [TAPS][TAPS].
    float up_taps[G::UP_TAPS_SIZE], grad_up_taps[G::GRAD_UP_TAPS_SIZE], down_taps[G::DOWN_TAPS_SIZE];
};

// What is stored for an upsampled sample t: activation(t); activation'(t); the stored value times t.
enum { ACTIVATE, DERIVATIVE, MULTIPLY };

template <class G, int MODE>
DEVICE void store_upsampled(const FilteredLrelu<G>& p, int top, int left, int y, int column, float t,
                            float* upsampled) {
    float* to = upsampled + y * G::UPSAMPLED_PITCH + split_position<G::SPLIT, G::UPSAMPLED_W>(column);
    if constexpr (MODE == MULTIPLY) {
        *to *= t;
        return;
    }
    const float slope = t > 0 ? 1.f : p.slope;
    t *= slope;
    if constexpr (MODE == ACTIVATE) {  // this order of comparisons keeps NaN
        t = t > p.clamp ? p.clamp : t;
        *to = t < -p.clamp ? -p.clamp : t;
    } else {
        const bool inside = (unsigned)(top + y) < (unsigned)p.upsampled_height &&
                            (unsigned)(left + column) < (unsigned)p.upsampled_width;
        *to = !inside || t > p.clamp || t < -p.clamp ? 0.f : slope;
    }
}

// Upsample input_tile [U::ROWS][U::PITCH] to `upsampled`; U is G::Upsampler or G::GradUpsampler.
template <class G, class U, int MODE>
DEVICE void upsample_tile(const FilteredLrelu<G>& p, const float* taps, int top, int left, const float* input_tile,
                          float* intermediate, float* upsampled, int tid, int threads) {
    constexpr int RUN = G::UP_RUN;
    if constexpr (U::SEPARABLE) {
        // Neighboring threads take neighboring rows, whose pitch is odd: no two of them access the same bank.
        for (int i = tid; i < U::ROWS * (G::UPSAMPLED_W / RUN); i += threads) {
            const int y = i % U::ROWS, x = i / U::ROWS * RUN;
            float result[RUN];
            fir_1d<U::UP, 1, U::TAPS, RUN>(input_tile + y * U::PITCH + x / U::UP, 1, taps + U::TAPS, result);
            UNROLL
            for (int k = 0; k < RUN; k++)
                intermediate[y * G::UPSAMPLED_PITCH + split_position<G::SPLIT, G::UPSAMPLED_W>(x + k)] = result[k];
        }
        BARRIER();
        for (int i = tid; i < G::UPSAMPLED_W * (G::UPSAMPLED_H / RUN); i += threads) {
            const int position = i % G::UPSAMPLED_W, y = i / G::UPSAMPLED_W * RUN;
            const int column = split_column<G::SPLIT, G::UPSAMPLED_W>(position);
            float result[RUN];
            fir_1d<U::UP, 1, U::TAPS, RUN>(intermediate + y / U::UP * G::UPSAMPLED_PITCH + position, G::UPSAMPLED_PITCH,
                                           taps, result);
            UNROLL
            for (int k = 0; k < RUN; k++) store_upsampled<G, MODE>(p, top, left, y + k, column, result[k], upsampled);
        }
    } else {
        constexpr int PATCH = U::UP == 1 ? 2 : U::UP, PATCHES_X = G::UPSAMPLED_W / PATCH;
        for (int i = tid; i < PATCHES_X * (G::UPSAMPLED_H / PATCH); i += threads) {
            const int x = i % PATCHES_X * PATCH, y = i / PATCHES_X * PATCH;
            float result[PATCH * PATCH];
            fir_2d<U::UP, U::UP, 1, 1, U::TAPS, U::TAPS, PATCH, PATCH, false, 1, U::COLUMNS, 0>(
                input_tile + y / U::UP * U::PITCH, U::PITCH, x / U::UP, taps, result);
            UNROLL
            for (int k = 0; k < PATCH * PATCH; k++)
                store_upsampled<G, MODE>(p, top, left, y + k / PATCH, x + k % PATCH, result[k], upsampled);
        }
    }
    BARRIER();
}

template <class G>
DEVICE void filtered_lrelu(const FilteredLrelu<G>& p, float* shared, int block, int tid, int threads) {
    using T = typename G::Sample;
    using U = typename G::Upsampler;
    using V = typename G::GradUpsampler;
    const int plane = block / p.tiles, tile_index = block % p.tiles;
    const int out_y = tile_index / p.tiles_x * G::TILE_H, out_x = tile_index % p.tiles_x * G::TILE_W;
    // The upsampled tile's first row and column.
    const int top = out_y * G::DOWN - p.down_offset_y, left = out_x * G::DOWN - p.down_offset_x;
    float *upsampled = shared + G::UPSAMPLED_OFFSET, *intermediate = shared + G::INTERMEDIATE_OFFSET;
    float* input_tile = shared + G::INPUT_OFFSET;

    load_tile<T, U::ROWS, U::COLUMNS, U::PITCH>(
        (const T*)p.x + (long long)plane * p.x_height * p.x_width, p.x_height, p.x_width,
        (out_y * G::DOWN - p.up_offset_y) / U::UP, (out_x * G::DOWN - p.up_offset_x) / U::UP,
        p.input_scale ? p.input_scale[plane] : 1.f, p.bias ? p.bias[plane % p.channels] : 0.f,
        input_tile, tid, threads);
    BARRIER();
    upsample_tile<G, U, G::IS_GRAD ? DERIVATIVE : ACTIVATE>(p, p.up_taps, top, left, input_tile, intermediate,
                                                            upsampled, tid, threads);
    if constexpr (G::IS_GRAD) {
        load_tile<T, V::ROWS, V::COLUMNS, V::PITCH>(
            (const T*)p.grad + (long long)plane * p.grad_height * p.grad_width, p.grad_height, p.grad_width,
            (out_y * G::DOWN - p.grad_offset_y) / V::UP, (out_x * G::DOWN - p.grad_offset_x) / V::UP, 1.f, 0.f,
            input_tile, tid, threads);
        BARRIER();
        upsample_tile<G, V, MULTIPLY>(p, p.grad_up_taps, top, left, input_tile, intermediate, upsampled, tid, threads);
    }

    T* out = (T*)p.out + (long long)plane * p.out_height * p.out_width;
    const float output_scale = p.output_scale ? p.output_scale[plane] : 1.f;
    constexpr int RUN = G::DOWN_RUN;
    if constexpr (G::DOWN_SEPARABLE) {
        float* down_rows = intermediate;  // [DOWN_ROWS][DOWN_PITCH], downsampled horizontally
        for (int i = tid; i < G::DOWN_ROWS * (G::TILE_W / RUN); i += threads) {
            const int y = i % G::DOWN_ROWS, x = i / G::DOWN_ROWS * RUN;
            float result[RUN];
            fir_1d<1, G::DOWN, G::DOWN_TAPS, RUN>(
                upsampled + (y + G::SHIFT_Y) * G::UPSAMPLED_PITCH + x * G::DOWN + G::SHIFT_X, 1,
                p.down_taps + G::DOWN_TAPS, result);
            UNROLL
            for (int k = 0; k < RUN; k++) down_rows[y * G::DOWN_PITCH + x + k] = result[k];
        }
        BARRIER();
        for (int i = tid; i < G::TILE_W * (G::TILE_H / RUN); i += threads) {
            const int x = i % G::TILE_W, y = i / G::TILE_W * RUN;
            float result[RUN];
            fir_1d<1, G::DOWN, G::DOWN_TAPS, RUN>(down_rows + y * G::DOWN * G::DOWN_PITCH + x, G::DOWN_PITCH,
                                                  p.down_taps, result);
            UNROLL
            for (int k = 0; k < RUN; k++)
                if (out_y + y + k < p.out_height && out_x + x < p.out_width)
                    out[(long long)(out_y + y + k) * p.out_width + out_x + x] =
                        FromFloat<T>::convert(result[k] * output_scale);
        }
    } else {
        for (int i = tid; i < G::TILE_W * (G::TILE_H / RUN); i += threads) {
            const int x = i % G::TILE_W, y = i / G::TILE_W * RUN;
            float result[RUN];
            fir_2d<1, 1, G::DOWN, G::DOWN, G::DOWN_TAPS, G::DOWN_TAPS, RUN, 1, G::DOWN_SYMMETRIC, G::DOWN,
                   G::UPSAMPLED_W, G::SHIFT_X>(upsampled + (y * G::DOWN + G::SHIFT_Y) * G::UPSAMPLED_PITCH,
                                               G::UPSAMPLED_PITCH, x, p.down_taps, result);
            UNROLL
            for (int k = 0; k < RUN; k++)
                if (out_y + y + k < p.out_height && out_x + x < p.out_width)
                    out[(long long)(out_y + y + k) * p.out_width + out_x + x] =
                        FromFloat<T>::convert(result[k] * output_scale);
        }
    }
}

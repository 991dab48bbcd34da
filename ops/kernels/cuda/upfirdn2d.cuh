// Upsample, FIR filter, downsample: one tile of one plane per block.
//
// G, made by upfirdn2d_tiling.py: UP_*, DOWN_*, TAPS_*: the resampling of each axis. SEPARABLE: taps [2][TAPS], along
// y, then along x; else [TAPS_Y][TAPS_X]. TILE_H, TILE_W: outputs of a block. RUN_Y, RUN_X: outputs of a thread at a
// time. ROWS, COLUMNS, PITCH: the input tile in shared memory. INTERMEDIATE_*: separable filters' horizontally filtered
// rows there.
template <class G> struct Upfirdn2d {
    const void* x;  // [planes][height][width]
    void* out;      // [planes][out_height][out_width]
    int height, width, out_height, out_width;
    int tiles_x, tiles;  // tiles in a row, and in a plane
    int pad_y, pad_x;    // zeros before the input, at the upsampled rate
    float taps[G::TAPS_SIZE];
};

template <class G> DEVICE void upfirdn2d(const Upfirdn2d<G>& p, float* shared, int block, int tid, int threads) {
    using T = typename G::Sample;
    const int plane = block / p.tiles, tile_index = block % p.tiles;
    const int out_y = tile_index / p.tiles_x * G::TILE_H, out_x = tile_index % p.tiles_x * G::TILE_W;
    float *tile = shared, *intermediate = shared + G::INTERMEDIATE_OFFSET;
    load_tile<T, G::ROWS, G::COLUMNS, G::PITCH>(
        (const T*)p.x + (long long)plane * p.height * p.width, p.height, p.width,
        (out_y * G::DOWN_Y - p.pad_y) / G::UP_Y, (out_x * G::DOWN_X - p.pad_x) / G::UP_X, 1.f, 0.f, tile, tid, threads);
    BARRIER();
    T* out = (T*)p.out + (long long)plane * p.out_height * p.out_width;
    if constexpr (G::SEPARABLE) {
        for (int i = tid; i < G::ROWS * (G::TILE_W / G::RUN_X); i += threads) {
            const int y = i % G::ROWS, x = i / G::ROWS * G::RUN_X;
            float result[G::RUN_X];
            fir_1d<G::UP_X, G::DOWN_X, G::TAPS_X, G::RUN_X>(tile + y * G::PITCH + x * G::DOWN_X / G::UP_X, 1,
                                                            p.taps + G::TAPS_Y, result);
            UNROLL
            for (int k = 0; k < G::RUN_X; k++) intermediate[y * G::INTERMEDIATE_PITCH + x + k] = result[k];
        }
        BARRIER();
        for (int i = tid; i < G::TILE_W * (G::TILE_H / G::RUN_Y); i += threads) {
            const int x = i % G::TILE_W, y = i / G::TILE_W * G::RUN_Y;
            float result[G::RUN_Y];
            const float* source = intermediate + y * G::DOWN_Y / G::UP_Y * G::INTERMEDIATE_PITCH + x;
            fir_1d<G::UP_Y, G::DOWN_Y, G::TAPS_Y, G::RUN_Y>(source, G::INTERMEDIATE_PITCH, p.taps, result);
            UNROLL
            for (int k = 0; k < G::RUN_Y; k++)
                if (out_y + y + k < p.out_height && out_x + x < p.out_width)
                    out[(long long)(out_y + y + k) * p.out_width + out_x + x] = FromFloat<T>::convert(result[k]);
        }
    } else {
        constexpr int PATCHES_X = G::TILE_W / G::RUN_X, SIZE = G::RUN_Y * G::RUN_X;
        for (int i = tid; i < PATCHES_X * (G::TILE_H / G::RUN_Y); i += threads) {
            const int x = i % PATCHES_X * G::RUN_X, y = i / PATCHES_X * G::RUN_Y;
            float result[SIZE];
            fir_2d<G::UP_Y, G::UP_X, G::DOWN_Y, G::DOWN_X, G::TAPS_Y, G::TAPS_X, G::RUN_Y, G::RUN_X, false, 1,
                   G::COLUMNS, 0>(tile + y * G::DOWN_Y / G::UP_Y * G::PITCH, G::PITCH, x * G::DOWN_X / G::UP_X, p.taps,
                                  result);
            UNROLL
            for (int k = 0; k < SIZE; k++) {
                const int row = out_y + y + k / G::RUN_X, column = out_x + x + k % G::RUN_X;
                if (row < p.out_height && column < p.out_width)
                    out[(long long)row * p.out_width + column] = FromFloat<T>::convert(result[k]);
            }
        }
    }
}

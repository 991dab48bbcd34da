// Raise the rate of one tile of one plane, filter it, lower the rate; G, made by cuda_upfirdn2d.py, holds the sizes.
template <class G> struct Upfirdn2d {
    const void* x;
    void* out;
    int height, width, out_height, out_width, tiles_x, tiles;
    int before_y, before_x;  // samples of u before the first output's window
    float taps[G::COUNT];    // separable: along y, then along x
};

template <class G> DEVICE void upfirdn2d(const Upfirdn2d<G>& p, float* memory, int block, int tid, int threads) {
    using T = typename G::Sample;
    const int plane = block / p.tiles, tile_index = block % p.tiles;
    const int out_y = tile_index / p.tiles_x * G::TILE_H, out_x = tile_index % p.tiles_x * G::TILE_W;
    float *tile = memory, *wide = memory + G::WIDE_AT;
    load_tile<T, G::ROWS, G::COLUMNS, G::PITCH>(
        (const T*)p.x + (long long)plane * p.height * p.width, p.height, p.width,
        (out_y * G::DOWN_Y - p.before_y) / G::UP_Y, (out_x * G::DOWN_X - p.before_x) / G::UP_X, 1.f, 0.f, tile, tid,
        threads);
    BARRIER();
    T* out = (T*)p.out + (long long)plane * p.out_height * p.out_width;
    if constexpr (G::SEPARABLE) {
        for (int i = tid; i < G::ROWS * (G::TILE_W / G::RUN_X); i += threads) {
            const int y = i % G::ROWS, x = i / G::ROWS * G::RUN_X;
            float made[G::RUN_X];
            filter_line<G::UP_X, G::DOWN_X, G::TAPS_X, G::RUN_X>(tile + y * G::PITCH + x * G::DOWN_X / G::UP_X, 1,
                                                                 p.taps + G::TAPS_Y, made);
            UNROLL
            for (int k = 0; k < G::RUN_X; k++) wide[y * G::WIDE_PITCH + x + k] = made[k];
        }
        BARRIER();
        for (int i = tid; i < G::TILE_W * (G::TILE_H / G::RUN_Y); i += threads) {
            const int x = i % G::TILE_W, y = i / G::TILE_W * G::RUN_Y;
            float made[G::RUN_Y];
            filter_line<G::UP_Y, G::DOWN_Y, G::TAPS_Y, G::RUN_Y>(wide + y * G::DOWN_Y / G::UP_Y * G::WIDE_PITCH + x,
                                                                 G::WIDE_PITCH, p.taps, made);
            UNROLL
            for (int k = 0; k < G::RUN_Y; k++)
                if (out_y + y + k < p.out_height && out_x + x < p.out_width)
                    out[(long long)(out_y + y + k) * p.out_width + out_x + x] = Narrow<T>::from(made[k]);
        }
    } else {
        constexpr int ACROSS = G::TILE_W / G::RUN_X, SIZE = G::RUN_Y * G::RUN_X;
        for (int i = tid; i < ACROSS * (G::TILE_H / G::RUN_Y); i += threads) {
            const int x = i % ACROSS * G::RUN_X, y = i / ACROSS * G::RUN_Y;
            float made[SIZE];
            filter_patch<G::UP_Y, G::UP_X, G::DOWN_Y, G::DOWN_X, G::TAPS_Y, G::TAPS_X, G::RUN_Y, G::RUN_X, false, 1,
                         G::COLUMNS, 0>(tile + y * G::DOWN_Y / G::UP_Y * G::PITCH, G::PITCH, x * G::DOWN_X / G::UP_X,
                                     p.taps, made);
            UNROLL
            for (int k = 0; k < SIZE; k++) {
                const int row = out_y + y + k / G::RUN_X, column = out_x + x + k % G::RUN_X;
                if (row < p.out_height && column < p.out_width)
                    out[(long long)row * p.out_width + column] = Narrow<T>::from(made[k]);
            }
        }
    }
}

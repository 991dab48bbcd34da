// after(kink(raise(x * pre + bias))) * post for one tile of one plane, the raised signal never leaving the chip;
// or, for gradients, after(kink'(raise(x * pre + bias)) * before(v)) * post.
//
// G, made by cuda_filtered_lrelu.py, holds every size that is known when the kernel is compiled. Columns of the raised tile are
// stored split by G::SPLIT, for the two-dimensional filter that reads every SPLIT-th of them (G::DOWN; else 1).
template <class G> struct FilteredLrelu {
    const void *x, *v;
    void* out;
    const float *bias, *pre, *post;  // [C], [N * C], [N * C], or null
    int channels, x_height, x_width, v_height, v_width, raised_height, raised_width, out_height, out_width;
    int tiles_x, tiles;                              // of one plane
    int raise_y, raise_x, before_y, before_x;        // tile begins this far before output * DOWN, in each leg's u
    int after_y, after_x;                            // and this far before it in raised samples
    float slope, clamp;
    float raise[G::RAISE_COUNT], before[G::BEFORE_COUNT], after[G::AFTER_COUNT];  // separable: along y, then along x
};

enum { APPLY, DERIVE, MULTIPLY };  // what becomes of a raised sample

template <class G, int MODE>
DEVICE void settle(const FilteredLrelu<G>& p, int top, int left, int y, int column, float t, float* raised) {
    float* at = raised + y * G::RAISED_PITCH + place<G::SPLIT, G::RAISED_W>(column);
    if constexpr (MODE == MULTIPLY) {
        *at *= t;
        return;
    }
    const float rate = t > 0 ? 1.f : p.slope;
    t *= rate;
    if constexpr (MODE == APPLY) {  // written so that NaN stays NaN
        t = t > p.clamp ? p.clamp : t;
        *at = t < -p.clamp ? -p.clamp : t;
    } else {
        const bool inside = (unsigned)(top + y) < (unsigned)p.raised_height &&
                            (unsigned)(left + column) < (unsigned)p.raised_width;
        *at = !inside || t > p.clamp || t < -p.clamp ? 0.f : rate;
    }
}

// L is one of G's two raising legs; `tile` holds its input.
template <class G, class L, int MODE>
DEVICE void raise_tile(const FilteredLrelu<G>& p, const float* taps, int top, int left, const float* tile, float* wide,
                       float* raised, int tid, int threads) {
    constexpr int RUN = G::RAISE_RUN;
    if constexpr (L::SEPARABLE) {
        // Lanes walk down the rows, whose pitch is odd: no two of them meet in a bank.
        for (int i = tid; i < L::ROWS * (G::RAISED_W / RUN); i += threads) {
            const int y = i % L::ROWS, x = i / L::ROWS * RUN;
            float made[RUN];
            filter_line<L::UP, 1, L::TAPS, RUN>(tile + y * L::PITCH + x / L::UP, 1, taps + L::TAPS, made);
            UNROLL
            for (int k = 0; k < RUN; k++) wide[y * G::RAISED_PITCH + place<G::SPLIT, G::RAISED_W>(x + k)] = made[k];
        }
        BARRIER();
        for (int i = tid; i < G::RAISED_W * (G::RAISED_H / RUN); i += threads) {
            const int position = i % G::RAISED_W, y = i / G::RAISED_W * RUN;
            const int column = column_at<G::SPLIT, G::RAISED_W>(position);
            float made[RUN];
            filter_line<L::UP, 1, L::TAPS, RUN>(wide + y / L::UP * G::RAISED_PITCH + position, G::RAISED_PITCH, taps,
                                                made);
            UNROLL
            for (int k = 0; k < RUN; k++) settle<G, MODE>(p, top, left, y + k, column, made[k], raised);
        }
    } else {
        constexpr int SIDE = L::UP == 1 ? 2 : L::UP, ACROSS = G::RAISED_W / SIDE;
        for (int i = tid; i < ACROSS * (G::RAISED_H / SIDE); i += threads) {
            const int x = i % ACROSS * SIDE, y = i / ACROSS * SIDE;
            float made[SIDE * SIDE];
            filter_patch<L::UP, L::UP, 1, 1, L::TAPS, L::TAPS, SIDE, SIDE, false, 1, L::COLUMNS, 0>(
                tile + y / L::UP * L::PITCH, L::PITCH, x / L::UP, taps, made);
            UNROLL
            for (int k = 0; k < SIDE * SIDE; k++)
                settle<G, MODE>(p, top, left, y + k / SIDE, x + k % SIDE, made[k], raised);
        }
    }
    BARRIER();
}

template <class G>
DEVICE void filtered_lrelu(const FilteredLrelu<G>& p, float* memory, int block, int tid, int threads) {
    using T = typename G::Sample;
    using R = typename G::Raise;
    using B = typename G::Before;
    const int plane = block / p.tiles, tile_index = block % p.tiles;
    const int out_y = tile_index / p.tiles_x * G::TILE_H, out_x = tile_index % p.tiles_x * G::TILE_W;
    const int top = out_y * G::DOWN - p.after_y, left = out_x * G::DOWN - p.after_x;  // of the raised tile
    float *raised = memory + G::RAISED_AT, *wide = memory + G::WIDE_AT, *tile = memory + G::TILE_AT;

    load_tile<T, R::ROWS, R::COLUMNS, R::PITCH>(
        (const T*)p.x + (long long)plane * p.x_height * p.x_width, p.x_height, p.x_width,
        (out_y * G::DOWN - p.raise_y) / R::UP, (out_x * G::DOWN - p.raise_x) / R::UP, p.pre ? p.pre[plane] : 1.f,
        p.bias ? p.bias[plane % p.channels] : 0.f, tile, tid, threads);
    BARRIER();
    raise_tile<G, R, G::MASKED ? DERIVE : APPLY>(p, p.raise, top, left, tile, wide, raised, tid, threads);
    if constexpr (G::MASKED) {
        load_tile<T, B::ROWS, B::COLUMNS, B::PITCH>(
            (const T*)p.v + (long long)plane * p.v_height * p.v_width, p.v_height, p.v_width,
            (out_y * G::DOWN - p.before_y) / B::UP, (out_x * G::DOWN - p.before_x) / B::UP, 1.f, 0.f, tile, tid,
            threads);
        BARRIER();
        raise_tile<G, B, MULTIPLY>(p, p.before, top, left, tile, wide, raised, tid, threads);
    }

    T* out = (T*)p.out + (long long)plane * p.out_height * p.out_width;
    const float post = p.post ? p.post[plane] : 1.f;
    constexpr int RUN = G::AFTER_RUN;
    if constexpr (G::AFTER_SEPARABLE) {
        float* narrow = wide;  // [NARROW_H][NARROW_PITCH]
        for (int i = tid; i < G::NARROW_H * (G::TILE_W / RUN); i += threads) {
            const int y = i % G::NARROW_H, x = i / G::NARROW_H * RUN;
            float made[RUN];
            filter_line<1, G::DOWN, G::AFTER_TAPS, RUN>(
                raised + (y + G::SHIFT_Y) * G::RAISED_PITCH + x * G::DOWN + G::SHIFT_X, 1, p.after + G::AFTER_TAPS,
                made);
            UNROLL
            for (int k = 0; k < RUN; k++) narrow[y * G::NARROW_PITCH + x + k] = made[k];
        }
        BARRIER();
        for (int i = tid; i < G::TILE_W * (G::TILE_H / RUN); i += threads) {
            const int x = i % G::TILE_W, y = i / G::TILE_W * RUN;
            float made[RUN];
            filter_line<1, G::DOWN, G::AFTER_TAPS, RUN>(narrow + y * G::DOWN * G::NARROW_PITCH + x, G::NARROW_PITCH,
                                                        p.after, made);
            UNROLL
            for (int k = 0; k < RUN; k++)
                if (out_y + y + k < p.out_height && out_x + x < p.out_width)
                    out[(long long)(out_y + y + k) * p.out_width + out_x + x] = Narrow<T>::from(made[k] * post);
        }
    } else {
        for (int i = tid; i < G::TILE_W * (G::TILE_H / RUN); i += threads) {
            const int x = i % G::TILE_W, y = i / G::TILE_W * RUN;
            float made[RUN];
            filter_patch<1, 1, G::DOWN, G::DOWN, G::AFTER_TAPS, G::AFTER_TAPS, RUN, 1, G::AFTER_FOLDED, G::DOWN,
                         G::RAISED_W, G::SHIFT_X>(raised + (y * G::DOWN + G::SHIFT_Y) * G::RAISED_PITCH,
                                                  G::RAISED_PITCH, x, p.after, made);
            UNROLL
            for (int k = 0; k < RUN; k++)
                if (out_y + y + k < p.out_height && out_x + x < p.out_width)
                    out[(long long)(out_y + y + k) * p.out_width + out_x + x] = Narrow<T>::from(made[k] * post);
        }
    }
}

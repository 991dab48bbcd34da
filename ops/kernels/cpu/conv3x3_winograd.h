// 3x3 convolution in channels_last memory by Winograd's algorithm F(4x4, 3x3) (Lavin and Gray 2016).
//
//     6x6 inputs, overlapping by 2      V = B' d B           36 GEMMs          A' M A = 4x4 outputs
//     +--------+                        [36][tiles][in]  *  [36][in][out]  =  [36][tiles][out]
//     | 4x4 ...|   input_transform                           gemm_panel         output_transform
//     +--------+   -------------->                           ---------->        --------------->
//
// Input tiles are transformed, multiplied element-wise over the channels (36 GEMMs), and transformed back, a block of
// tiles at a time, so that V and M stay in the caches. 36 instead of 144 multiply-adds for 4x4 outputs, in and out
// channel, plus O(tiles * (in + out)) additions.
//
// The interpolation points are 0, +-3/4, +-3/2 and infinity: with the usual 0, +-1, +-2 rounding errors are four times
// as large. Each sum runs over the channels in order, so that results depend on neither threads nor blocks.
#pragma once
#include "thread_pool.h"
#include "gemm.h"
#include "workspace.h"
#include <atomic>

namespace winograd {

constexpr int TILE_IN = 6, TILE_OUT = 4, TILE_ELEMENTS = TILE_IN * TILE_IN; // sides of a tile, its transformed elements
constexpr float A = 0.75f, B = 1.5f, A2 = A * A, B2 = B * B; // interpolation points 0, +-A, +-B, infinity
// Packed weights above SHARE_WEIGHTS_BYTES: all threads work on one block of tiles, so that weights are read once for
// all. Otherwise each thread works on blocks of its own.
constexpr int64_t SHARE_WEIGHTS_BYTES = 12 << 20;
constexpr int64_t THREAD_BLOCK_BYTES = 1 << 20;  // V and M of a thread's own block
constexpr int64_t SHARED_BLOCK_BYTES = 16 << 20; // V and M of a block of all threads
constexpr int64_t TILES_PER_TASK = 8;            // transformed by one task of a shared block

// Number of elements that `filter_transform` writes.
inline int64_t packed_size(int64_t out_channels, int64_t in_channels) {
    return TILE_ELEMENTS * in_channels * round_up(out_channels, LANES);
}

// U = G g G': weight [out_channels, 3, 3, in_channels] to packed [TILE_ELEMENTS][panels][in_channels][NR]; the last
// panel may be narrower. Computed in float64.
inline void filter_transform(const float *weight, int64_t out_channels, int64_t in_channels, float *packed) {
    const double points[5] = {0, A, -A, B, -B};
    double g[TILE_IN][3] = {{}, {}, {}, {}, {}, {0, 0, 1}};
    for (int i = 0; i < 5; i++) {
        double denominator = 1;
        for (int j = 0; j < 5; j++) denominator *= i == j ? 1 : points[i] - points[j];
        for (int k = 0; k < 3; k++) g[i][k] = (k == 0 ? 1 : k == 1 ? points[i] : points[i] * points[i]) / denominator;
    }
    const int64_t columns = round_up(out_channels, LANES);
    for (int64_t o = 0; o < columns; o++) {
        int64_t first = o / NR * NR, panel_width = std::min(NR, columns - first);
        for (int64_t c = 0; c < in_channels; c++) {
            double half[TILE_IN][3] = {}; // G g
            for (int i = 0; i < TILE_IN; i++)
                for (int x = 0; x < 3; x++)
                    for (int y = 0; y < 3 && o < out_channels; y++)
                        half[i][x] += g[i][y] * weight[((o * 3 + y) * 3 + x) * in_channels + c];
            for (int p = 0; p < TILE_ELEMENTS; p++) {
                double sum = 0;
                for (int x = 0; x < 3; x++) sum += g[p % TILE_IN][x] * half[p / TILE_IN][x];
                packed[(p * columns + first) * in_channels + c * panel_width + o - first] = (float)sum;
            }
        }
    }
}

// B' along one axis: six samples d[0], d[step], ... to six elements.
INLINE void input_transform(const Vec *d, int step, Vec *out) {
    Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    Vec even = d4 - B2 * d2, odd = d3 - B2 * d1;
    out[0] = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
    out[1] = even + A * odd;
    out[2] = even - A * odd;
    even = d4 - A2 * d2;
    odd = d3 - A2 * d1;
    out[3] = even + B * odd;
    out[4] = even - B * odd;
    out[5] = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
}

// A' along one axis: six elements m[0], m[step], ... to four outputs.
INLINE void output_transform(const Vec *m, int step, Vec *out) {
    Vec sum_a = m[step] + m[2 * step], difference_a = m[step] - m[2 * step];
    Vec sum_b = m[3 * step] + m[4 * step], difference_b = m[3 * step] - m[4 * step];
    out[0] = m[0] + sum_a + sum_b;
    out[1] = A * difference_a + B * difference_b;
    out[2] = A2 * sum_a + B2 * sum_b;
    out[3] = A2 * A * difference_a + B2 * B * difference_b + m[5 * step];
}

// A block of tiles: v [TILE_ELEMENTS][capacity][v_stride] and m [TILE_ELEMENTS][capacity][m_stride]. The strides have
// padding, which keeps rows from falling into the same sets of a cache.
struct TileBlock {
    const ConvArgs &args;
    int64_t first, capacity; // index of the first tile in the image; tiles that there is memory for
    float *v, *m;            // transformed inputs; products
    int64_t tiles_x, v_stride, m_stride, out_columns; // tiles per row of the image; out_channels rounded up to LANES
    int64_t used = 0;                                 // tiles of this block

    TileBlock(const ConvArgs &args, int64_t capacity, float *memory) : args(args), first(0), capacity(capacity) {
        tiles_x = (args.width + 2 * args.padding - 2 + TILE_OUT - 1) / TILE_OUT;
        out_columns = round_up(args.out_channels, LANES);
        v_stride = padded_stride(args.in_channels);
        m_stride = padded_stride(out_columns);
        v = memory;
        m = v + TILE_ELEMENTS * capacity * v_stride;
    }

    // Elements of workspace for one tile.
    static int64_t elements_per_tile(const ConvArgs &args) {
        return TILE_ELEMENTS * (padded_stride(args.in_channels) + padded_stride(round_up(args.out_channels, LANES)));
    }

    int64_t panels() const { return (out_columns + NR - 1) / NR; }

    // Begin at a tile of the image; there are `end` in all.
    void start_at_tile(int64_t tile, int64_t end) { first = tile; used = std::min(capacity, end - tile); }

    // Transform tiles [begin, end) of the block into v.
    void transform_inputs(int64_t begin, int64_t end) {
        const int64_t step = capacity * v_stride;
        for (int64_t tile = begin; tile < end; tile++) {
            int64_t y0 = (first + tile) / tiles_x * TILE_OUT - args.padding;
            int64_t x0 = (first + tile) % tiles_x * TILE_OUT - args.padding;
            for (int64_t c = 0; c < args.in_channels; c += LANES) {
                int count = (int)std::min<int64_t>(LANES, args.in_channels - c);
                Vec d[TILE_ELEMENTS], half[TILE_ELEMENTS], elements[TILE_IN];
                Vec scale = load_scales(args.input_scale, c, count);
                bool tile_inside = y0 >= 0 && x0 >= 0 && y0 + TILE_IN <= args.height && x0 + TILE_IN <= args.width;
                const float *corner = args.x + (y0 * args.width + x0) * args.x_stride + c;
                for (int y = 0; y < TILE_IN; y++)
                    for (int x = 0; x < TILE_IN; x++) {
                        bool inside =
                            tile_inside || (y0 + y >= 0 && y0 + y < args.height && x0 + x >= 0 && x0 + x < args.width);
                        const float *from = corner + (y * args.width + x) * args.x_stride;
                        if (!inside) d[y * TILE_IN + x] = Vec{};
                        else
                            d[y * TILE_IN + x] =
                                (count == LANES ? load<true>(from, count) : load<false>(from, count)) * scale;
                    }
                for (int x = 0; x < TILE_IN; x++)
                    input_transform(d + x, TILE_IN, half + x * TILE_IN); // half [x][element of y]
                float *to = v + tile * v_stride + c;
                for (int p = 0; p < TILE_IN; p++) {
                    input_transform(half + p, TILE_IN, elements);
                    for (int q = 0; q < TILE_IN; q++) store<true>(to + (p * TILE_IN + q) * step, elements[q], LANES);
                }
            }
        }
    }

    // GEMM of element p for all tiles: panels [begin, end) of m.
    void multiply_panels(int64_t p, int64_t begin, int64_t end) {
        for (int64_t panel = begin; panel < end; panel++) {
            int64_t o = panel * NR;
            Prefetcher none;
            Tile c{m + p * capacity * m_stride + o, m_stride};
            gemm_panel(v + p * capacity * v_stride, v_stride, args.weights + (p * out_columns + o) * args.in_channels,
                       args.in_channels, c, c, used, std::min(NR, out_columns - o), none);
        }
    }

    // Transform tiles [begin, end) of m into the output.
    void transform_outputs(int64_t begin, int64_t end) {
        const bool nontemporal = args.nontemporal();
        const int64_t step = capacity * m_stride;
        const int64_t height = args.height + 2 * args.padding - 2, width = args.width + 2 * args.padding - 2;
        for (int64_t tile = begin; tile < end; tile++) {
            int64_t y0 = (first + tile) / tiles_x * TILE_OUT, x0 = (first + tile) % tiles_x * TILE_OUT;
            int rows = (int)std::min<int64_t>(TILE_OUT, height - y0);
            int columns = (int)std::min<int64_t>(TILE_OUT, width - x0);
            for (int64_t o = 0; o < args.out_channels; o += LANES) {
                int count = (int)std::min<int64_t>(LANES, args.out_channels_padded() - o);
                const float *from = m + tile * m_stride + o;
                Vec half[TILE_OUT * TILE_IN], elements[TILE_IN], outputs[TILE_OUT];
                Vec scale = load_scales(args.output_scale, o, (int)std::min<int64_t>(LANES, args.out_channels - o));
                for (int q = 0; q < TILE_IN; q++) {
                    for (int p = 0; p < TILE_IN; p++) elements[p] = load<true>(from + (p * TILE_IN + q) * step, LANES);
                    output_transform(elements, 1, outputs);
                    for (int y = 0; y < TILE_OUT; y++) half[y * TILE_IN + q] = outputs[y];
                }
                for (int y = 0; y < rows; y++) {
                    output_transform(half + y * TILE_IN, 1, outputs);
                    float *to = args.out + ((y0 + y) * width + x0) * args.out_stride + o;
                    for (int x = 0; x < columns; x++, to += args.out_stride) {
                        if (nontemporal) store_nontemporal(to, outputs[x] * scale);
                        else if (count == LANES) store<true>(to, outputs[x] * scale, count);
                        else store<false>(to, outputs[x] * scale, count);
                    }
                }
            }
        }
        if (nontemporal) nontemporal_fence();
    }
};

// What the tasks of one call share.
struct Context {
    const ConvArgs &args;
    int64_t tiles, tiles_per_block;
    TileBlock *shared_block = nullptr; // where all threads work on one
    std::atomic<bool> out_of_memory{false};
};

// A block of tiles on one thread.
inline void block_task(void *opaque, int64_t task) {
    Context &context = *(Context *)opaque;
    Vec *memory = workspace.get(context.tiles_per_block * TileBlock::elements_per_tile(context.args) / LANES);
    if (!memory) {
        context.out_of_memory = true;
        return;
    }
    TileBlock block(context.args, context.tiles_per_block, (float *)memory);
    block.start_at_tile(task * context.tiles_per_block, context.tiles);
    block.transform_inputs(0, block.used);
    for (int64_t p = 0; p < TILE_ELEMENTS; p++) block.multiply_panels(p, 0, block.panels());
    block.transform_outputs(0, block.used);
}

// The three steps of a shared block.
inline void transform_inputs_task(void *opaque, int64_t task) {
    TileBlock &block = *((Context *)opaque)->shared_block;
    block.transform_inputs(task * TILES_PER_TASK, std::min((task + 1) * TILES_PER_TASK, block.used));
}

inline void multiply_panel_task(void *opaque, int64_t task) {
    TileBlock &block = *((Context *)opaque)->shared_block;
    block.multiply_panels(task / block.panels(), task % block.panels(), task % block.panels() + 1);
}

inline void transform_outputs_task(void *opaque, int64_t task) {
    TileBlock &block = *((Context *)opaque)->shared_block;
    block.transform_outputs(task * TILES_PER_TASK, std::min((task + 1) * TILES_PER_TASK, block.used));
}

// Return whether there was enough memory.
inline bool run(const ConvArgs &args) {
    const int64_t height = args.height + 2 * args.padding - 2, width = args.width + 2 * args.padding - 2;
    const int64_t bytes_per_tile = TileBlock::elements_per_tile(args) * 4, threads = std::max<int64_t>(1, args.threads);
    Context context{args, (height + TILE_OUT - 1) / TILE_OUT * ((width + TILE_OUT - 1) / TILE_OUT), 0};
    // As many tiles as fit, in blocks of nearly equal size, of whole MR rows.
    bool share_block = packed_size(args.out_channels, args.in_channels) * 4 > SHARE_WEIGHTS_BYTES;
    int64_t max_tiles =
        std::max<int64_t>(1, (share_block ? SHARED_BLOCK_BYTES : THREAD_BLOCK_BYTES) / (bytes_per_tile * MR)) * MR;
    int64_t blocks = (context.tiles + max_tiles - 1) / max_tiles;
    if (!share_block) blocks = round_up(blocks, threads);
    context.tiles_per_block = round_up((context.tiles + blocks - 1) / blocks, MR);
    blocks = (context.tiles + context.tiles_per_block - 1) / context.tiles_per_block;
    ThreadPool &pool = ThreadPool::shared();
    if (!share_block) {
        pool.run(block_task, &context, blocks, (int)threads);
        return !context.out_of_memory;
    }
    Vec *memory = workspace.get(context.tiles_per_block * TileBlock::elements_per_tile(args) / LANES);
    if (!memory) return false;
    TileBlock block(args, context.tiles_per_block, (float *)memory);
    context.shared_block = &block;
    for (int64_t first = 0; first < context.tiles; first += context.tiles_per_block) {
        block.start_at_tile(first, context.tiles);
        int64_t transform_tasks = (block.used + TILES_PER_TASK - 1) / TILES_PER_TASK;
        pool.run(transform_inputs_task, &context, transform_tasks, (int)threads);
        pool.run(multiply_panel_task, &context, TILE_ELEMENTS * block.panels(), (int)threads);
        pool.run(transform_outputs_task, &context, transform_tasks, (int)threads);
    }
    return true;
}

} // namespace winograd

// 3x3 convolution of a picture in channels_last memory by Winograd's F(4x4, 3x3): 36 products instead of 144 for 4x4
// results (Lavin and Gray 2016). Tiles of the picture are taken apart, each of the 36 components is multiplied with its
// own matrix of weights, and the results are put together, for some tiles at a time, so that little is in memory.
//
// The points are 0, +-3/4, +-3/2 and infinity: with the usual 0, +-1, +-2 rounding errors are four times as large. Each
// sum is over the channels in their order, so that neither threads nor blocks change a bit.
#pragma once
#include "thread_pool.h"
#include "gemm.h"
#include "workspace.h"
#include <atomic>

namespace winograd {

constexpr int SIDE = 6, KEPT = 4, PARTS = SIDE * SIDE; // a tile, the results of it, its components
constexpr float A = 0.75f, B = 1.5f, A2 = A * A, B2 = B * B;
constexpr int64_t NEAR = 1 << 20;    // bytes that one thread works on
constexpr int64_t SHARED = 16 << 20; // bytes that all threads work on together
constexpr int64_t MANY = 12 << 20;   // weights in bytes from which all threads share what is read of them

// How many numbers `pack` writes.
inline int64_t packed_size(int64_t results, int64_t channels) { return PARTS * channels * up_to(results, LANES); }

// weight [results, 3, 3, channels] to [PARTS, panels, channels, a panel's results]; the last panel may be narrower.
inline void pack(const float *weight, int64_t results, int64_t channels, float *packed) {
    const double points[5] = {0, A, -A, B, -B};
    double g[SIDE][3] = {{}, {}, {}, {}, {}, {0, 0, 1}};
    for (int i = 0; i < 5; i++) {
        double others = 1;
        for (int j = 0; j < 5; j++) others *= i == j ? 1 : points[i] - points[j];
        for (int k = 0; k < 3; k++) g[i][k] = (k == 0 ? 1 : k == 1 ? points[i] : points[i] * points[i]) / others;
    }
    const int64_t wide = up_to(results, LANES);
    for (int64_t o = 0; o < wide; o++) {
        int64_t first = o / PANEL * PANEL, width = std::min(PANEL, wide - first);
        for (int64_t c = 0; c < channels; c++) {
            double half[SIDE][3] = {};
            for (int i = 0; i < SIDE; i++)
                for (int x = 0; x < 3; x++)
                    for (int y = 0; y < 3 && o < results; y++)
                        half[i][x] += g[i][y] * weight[((o * 3 + y) * 3 + x) * channels + c];
            for (int p = 0; p < PARTS; p++) {
                double sum = 0;
                for (int x = 0; x < 3; x++) sum += g[p % SIDE][x] * half[p / SIDE][x];
                packed[(p * wide + first) * channels + c * width + o - first] = (float)sum;
            }
        }
    }
}

// Six samples to six components.
INLINE void apart(const Vec *d, int step, Vec *to) {
    Vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step], d5 = d[5 * step];
    Vec even = d4 - B2 * d2, odd = d3 - B2 * d1;
    to[0] = A2 * B2 * d0 - (A2 + B2) * d2 + d4;
    to[1] = even + A * odd;
    to[2] = even - A * odd;
    even = d4 - A2 * d2;
    odd = d3 - A2 * d1;
    to[3] = even + B * odd;
    to[4] = even - B * odd;
    to[5] = A2 * B2 * d1 - (A2 + B2) * d3 + d5;
}

// Six components to four results.
INLINE void together(const Vec *m, int step, Vec *to) {
    Vec sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
    Vec more = m[3 * step] + m[4 * step], apart = m[3 * step] - m[4 * step];
    to[0] = m[0] + sum + more;
    to[1] = A * difference + B * apart;
    to[2] = A2 * sum + B2 * more;
    to[3] = A2 * A * difference + B2 * B * apart + m[5 * step];
}

// Some tiles on their way: v [PARTS, tiles, channels] and m [PARTS, tiles, results], with some room between rows, which
// keeps them from falling on the same places of a cache.
struct Block {
    const Convolution &job;
    int64_t first, tiles; // the tiles from `first` on
    float *v, *m;
    int64_t across, v_row, m_row, wide;

    Block(const Convolution &job, int64_t room, float *memory) : job(job), first(0), tiles(room) {
        across = (job.width + 2 * job.padding - 2 + KEPT - 1) / KEPT;
        wide = up_to(job.results, LANES);
        v_row = spaced(job.channels);
        m_row = spaced(wide);
        v = memory;
        m = v + PARTS * room * v_row;
    }

    // Numbers of memory for one tile.
    static int64_t room(const Convolution &job) { return PARTS * (spaced(job.channels) + spaced(up_to(job.results, LANES))); }

    // Tiles [from, to) of the picture into v.
    void take(int64_t from, int64_t to) {
        const int64_t step = tiles * v_row;
        for (int64_t tile = from; tile < to; tile++) {
            int64_t y0 = (first + tile) / across * KEPT - job.padding, x0 = (first + tile) % across * KEPT - job.padding;
            for (int64_t c = 0; c < job.channels; c += LANES) {
                int count = (int)std::min<int64_t>(LANES, job.channels - c);
                Vec d[PARTS], half[PARTS], part[SIDE], scale = factors(job.scale, c, count);
                bool inside = y0 >= 0 && x0 >= 0 && y0 + SIDE <= job.height && x0 + SIDE <= job.width;
                const float *corner = job.x + (y0 * job.width + x0) * job.x_stride + c;
                for (int y = 0; y < SIDE; y++)
                    for (int x = 0; x < SIDE; x++) {
                        bool real = inside || (y0 + y >= 0 && y0 + y < job.height && x0 + x >= 0 && x0 + x < job.width);
                        const float *from = corner + (y * job.width + x) * job.x_stride;
                        if (!real) d[y * SIDE + x] = Vec{};
                        else d[y * SIDE + x] = (count == LANES ? load<true>(from, count) : load<false>(from, count)) * scale;
                    }
                for (int x = 0; x < SIDE; x++) apart(d + x, SIDE, half + x * SIDE); // [x][part of y]
                float *to_v = v + tile * v_row + c;
                for (int p = 0; p < SIDE; p++) {
                    apart(half + p, SIDE, part);
                    for (int q = 0; q < SIDE; q++) store<true>(to_v + (p * SIDE + q) * step, part[q], LANES);
                }
            }
        }
    }

    // One component's panels [from, to) of all tiles into m.
    void multiply_panels(int64_t p, int64_t from, int64_t to) {
        for (int64_t panel = from; panel < to; panel++) {
            int64_t o = panel * PANEL;
            Ahead none;
            Sums sums{m + p * tiles * m_row + o, m_row};
            multiply_panel(v + p * tiles * v_row, v_row, job.weights + (p * wide + o) * job.channels, job.channels, sums,
                           sums, used, std::min(PANEL, wide - o), none);
        }
    }

    // Tiles [from, to) of m into the result.
    void give(int64_t from, int64_t to) {
        const bool streams = job.streams();
        const int64_t step = tiles * m_row, height = job.height + 2 * job.padding - 2, width = job.width + 2 * job.padding - 2;
        for (int64_t tile = from; tile < to; tile++) {
            int64_t y0 = (first + tile) / across * KEPT, x0 = (first + tile) % across * KEPT;
            int rows = (int)std::min<int64_t>(KEPT, height - y0), columns = (int)std::min<int64_t>(KEPT, width - x0);
            for (int64_t o = 0; o < job.results; o += LANES) {
                int count = (int)std::min<int64_t>(LANES, job.written() - o);
                const float *from_m = m + tile * m_row + o;
                Vec half[KEPT * SIDE], part[SIDE], made[KEPT];
                Vec gain = factors(job.gain, o, (int)std::min<int64_t>(LANES, job.results - o));
                for (int q = 0; q < SIDE; q++) {
                    for (int p = 0; p < SIDE; p++) part[p] = load<true>(from_m + (p * SIDE + q) * step, LANES);
                    together(part, 1, made);
                    for (int y = 0; y < KEPT; y++) half[y * SIDE + q] = made[y];
                }
                for (int y = 0; y < rows; y++) {
                    together(half + y * SIDE, 1, made);
                    float *to_out = job.out + ((y0 + y) * width + x0) * job.out_stride + o;
                    for (int x = 0; x < columns; x++, to_out += job.out_stride) {
                        if (streams) stream(to_out, made[x] * gain);
                        else if (count == LANES) store<true>(to_out, made[x] * gain, count);
                        else store<false>(to_out, made[x] * gain, count);
                    }
                }
            }
        }
        if (streams) finish_streams();
    }

    int64_t used = 0; // of the tiles there is room for
    int64_t panels() const { return (wide + PANEL - 1) / PANEL; }
    void begin(int64_t tile, int64_t end) { first = tile; used = std::min(tiles, end - tile); }
};

// What the tasks of one call share.
struct Shared {
    const Convolution &job;
    int64_t all, room;
    Block *block = nullptr; // where all threads work on one
    std::atomic<bool> failed{false};
};

constexpr int64_t PIECE = 8; // tiles taken or given by one task

inline void whole_block(void *context, int64_t task) {
    Shared &shared = *(Shared *)context;
    Vec *memory = scratch.get(shared.room * Block::room(shared.job) / LANES);
    if (!memory) {
        shared.failed = true;
        return;
    }
    Block block(shared.job, shared.room, (float *)memory);
    block.begin(task * shared.room, shared.all);
    block.take(0, block.used);
    for (int64_t p = 0; p < PARTS; p++) block.multiply_panels(p, 0, block.panels());
    block.give(0, block.used);
}

inline void take_piece(void *context, int64_t task) {
    Block &block = *((Shared *)context)->block;
    block.take(task * PIECE, std::min((task + 1) * PIECE, block.used));
}

inline void one_panel(void *context, int64_t task) {
    Block &block = *((Shared *)context)->block;
    block.multiply_panels(task / block.panels(), task % block.panels(), task % block.panels() + 1);
}

inline void give_piece(void *context, int64_t task) {
    Block &block = *((Shared *)context)->block;
    block.give(task * PIECE, std::min((task + 1) * PIECE, block.used));
}

// Whether there was enough memory.
inline bool run(const Convolution &job) {
    const int64_t height = job.height + 2 * job.padding - 2, width = job.width + 2 * job.padding - 2;
    const int64_t each = Block::room(job) * 4, threads = std::max<int64_t>(1, job.threads);
    Shared shared{job, (height + KEPT - 1) / KEPT * ((width + KEPT - 1) / KEPT), 0};
    // As many tiles as there is room for, in blocks of like size, of whole ROWS_AT_ONCE.
    bool shares = packed_size(job.results, job.channels) * 4 > MANY;
    int64_t most = std::max<int64_t>(1, (shares ? SHARED : NEAR) / (each * ROWS_AT_ONCE)) * ROWS_AT_ONCE;
    int64_t blocks = (shared.all + most - 1) / most;
    if (!shares) blocks = up_to(blocks, threads);
    shared.room = up_to((shared.all + blocks - 1) / blocks, ROWS_AT_ONCE);
    blocks = (shared.all + shared.room - 1) / shared.room;
    Pool &pool = Pool::shared();
    if (!shares) {
        pool.run(whole_block, &shared, blocks, (int)threads);
        return !shared.failed;
    }
    Vec *memory = scratch.get(shared.room * Block::room(job) / LANES);
    if (!memory) return false;
    Block block(job, shared.room, (float *)memory);
    shared.block = &block;
    for (int64_t first = 0; first < shared.all; first += shared.room) {
        block.begin(first, shared.all);
        int64_t pieces = (block.used + PIECE - 1) / PIECE;
        pool.run(take_piece, &shared, pieces, (int)threads);
        pool.run(one_panel, &shared, PARTS * block.panels(), (int)threads);
        pool.run(give_piece, &shared, pieces, (int)threads);
    }
    return true;
}

} // namespace winograd

// What all kernels share: how a block is entered, how samples are stored, and one filter pass held in registers.
//
// The kernels are phases of `for (i = tid; i < count; i += threads)` with BARRIER() between them. NVRTC compiles them
// for a GPU without any header; g++ compiles the same text behind cuda_host_shim.h, as one thread of one, for the tests.
#ifndef BANDLIMIT_SHIM
#define DEVICE __device__ __forceinline__
#define BARRIER() __syncthreads()
#define UNROLL _Pragma("unroll")
#define ENTRY(NAME, PARAMS, BODY)                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS) NAME(const __grid_constant__ PARAMS p) {  \
        extern __shared__ float memory[];                                                           \
        BODY(p, memory, (int)blockIdx.x, (int)threadIdx.x, (int)blockDim.x);                        \
    }

struct Half { unsigned short bits; };

// By hand, because torch's wheels bring NVRTC but, on Windows, none of CUDA's headers.
DEVICE float widen(Half value) {
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
    return wide;
}
DEVICE Half narrow_half(float wide) {
    Half value;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(value.bits) : "f"(wide));
    return value;
}
DEVICE unsigned bits_of(float value) { return __float_as_uint(value); }
DEVICE float float_of(unsigned bits) { return __uint_as_float(bits); }
#endif

struct Brain { unsigned short bits; };  // bfloat16: the upper half of a float

DEVICE float widen(float value) { return value; }
DEVICE float widen(Brain value) { return float_of((unsigned)value.bits << 16); }

template <class T> struct Narrow;
template <> struct Narrow<float> {
    static DEVICE float from(float wide) { return wide; }
};
template <> struct Narrow<Half> {
    static DEVICE Half from(float wide) { return narrow_half(wide); }
};
template <> struct Narrow<Brain> {
    static DEVICE Brain from(float wide) {
        const unsigned bits = bits_of(wide);
        if (wide != wide) return {(unsigned short)(bits >> 16 | 64)};  // NaN stays one
        return {(unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
    }
};

// RUN neighbouring outputs of one line: out[i] = sum_k taps[k] u[i * DOWN + k], where u is the source with UP - 1 zeros
// after each sample and `source` is at u[0]. Only samples that are there are read: all conditions are known when it is
// compiled, and every sample is read once.
template <int UP, int DOWN, int TAPS, int RUN>
DEVICE void filter_line(const float* source, int step, const float* taps, float* out) {
    static_assert(RUN * DOWN % UP == 0, "every run must begin at the same phase");
    constexpr int READ = ((RUN - 1) * DOWN + TAPS - 1) / UP + 1;
    float in[READ];
    UNROLL
    for (int s = 0; s < READ; s++) in[s] = source[s * step];
    UNROLL
    for (int i = 0; i < RUN; i++) {
        float sum = 0;
        UNROLL
        for (int k = 0; k < TAPS; k++)
            if ((i * DOWN + k) % UP == 0) sum += taps[k] * in[(i * DOWN + k) / UP];
        out[i] = sum;
    }
}

// Where column x of a buffer lies, split into SPLIT interleaved halves (thirds, ...) so that neighbouring threads that
// step by SPLIT columns read neighbouring words.
template <int SPLIT, int WIDTH> DEVICE int place(int x) {
    static_assert(WIDTH % SPLIT == 0, "all parts must be of one length");
    return x % SPLIT * (WIDTH / SPLIT) + x / SPLIT;
}
template <int SPLIT, int WIDTH> DEVICE int column_at(int position) {
    return position % (WIDTH / SPLIT) * SPLIT + position / (WIDTH / SPLIT);
}

// RY x RX outputs of a two-dimensional filter taps[TY][TX]. Their window begins at row `source` and at column
// x * SPLIT + SHIFT, in a buffer whose columns are split.
// FOLD: every row of the filter is a palindrome, which halves the products.
template <int UY, int UX, int DY, int DX, int TY, int TX, int RY, int RX, bool FOLD, int SPLIT, int WIDTH, int SHIFT>
DEVICE void filter_patch(const float* source, int pitch, int x, const float* taps, float* out) {
    static_assert(RY * DY % UY == 0 && RX * DX % UX == 0, "every patch must begin at the same phase");
    static_assert(!FOLD || (UX == 1 && RX == 1), "folded rows need one output column at the source's own rate");
    constexpr int ROWS = ((RY - 1) * DY + TY - 1) / UY + 1, READ = ((RX - 1) * DX + TX - 1) / UX + 1;
    UNROLL
    for (int i = 0; i < RY * RX; i++) out[i] = 0;
    UNROLL
    for (int s = 0; s < ROWS; s++) {
        float in[READ];
        UNROLL
        for (int c = 0; c < READ; c++) in[c] = source[s * pitch + x + place<SPLIT, WIDTH>(c + SHIFT)];
        if constexpr (FOLD) {
            UNROLL
            for (int c = 0; c < TX / 2; c++) in[c] += in[TX - 1 - c];
        }
        UNROLL
        for (int y = 0; y < RY; y++) {
            UNROLL
            for (int j = 0; j < TY; j++)
                if ((y * DY + j) % UY == 0 && (y * DY + j) / UY == s) {
                    UNROLL
                    for (int r = 0; r < RX; r++) {
                        UNROLL
                        for (int k = 0; k < (FOLD ? (TX + 1) / 2 : TX); k++)
                            if ((r * DX + k) % UX == 0)
                                out[y * RX + r] += taps[j * TX + k] * in[(r * DX + k) / UX];
                    }
                }
        }
    }
}

// One plane's samples from (top, left) on into memory, widened, times `scale`, plus `bias`; zeros outside the plane.
template <class T, int ROWS, int COLUMNS, int PITCH>
DEVICE void load_tile(const T* plane, int height, int width, int top, int left, float scale, float bias, float* tile,
                      int tid, int threads) {
    for (int i = tid; i < ROWS * COLUMNS; i += threads) {
        const int y = i / COLUMNS, x = i % COLUMNS;
        const bool inside = (unsigned)(top + y) < (unsigned)height && (unsigned)(left + x) < (unsigned)width;
        float value = 0;
        if (inside) value = widen(plane[(long long)(top + y) * width + left + x]) * scale + bias;
        tile[y * PITCH + x] = value;
    }
}

// What all CUDA kernels share: their entry point, sample types, and FIR filters whose outputs are held in registers.
//
// A kernel is a sequence of loops `for (i = tid; i < count; i += threads)` with BARRIER() between them. NVRTC compiles
// it for a GPU without any headers; g++ compiles the same text behind cuda_host_shim.h, with one thread per block, for
// the tests. Template parameter G of the kernels: a struct of compile-time constants, which the *_tiling.py modules
// generate.
#ifndef BANDLIMIT_SHIM
#define DEVICE __device__ __forceinline__
#define BARRIER() __syncthreads()
#define UNROLL _Pragma("unroll")
#define ENTRY(NAME, PARAMS, BODY) \
    extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_PER_SM) NAME(const __grid_constant__ PARAMS p) {  \
        extern __shared__ float shared[];                                                           \
        BODY(p, shared, (int)blockIdx.x, (int)threadIdx.x, (int)blockDim.x);                        \
    }

struct Half { unsigned short bits; };  // float16

// Inline assembly, because torch's wheels for Windows bring NVRTC but none of CUDA's headers.
DEVICE float to_float(Half value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}
DEVICE Half half_from_float(float value) {
    Half result;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    return result;
}
DEVICE unsigned float_bits(float value) { return __float_as_uint(value); }
DEVICE float float_from_bits(unsigned bits) { return __uint_as_float(bits); }
#endif

struct BFloat16 { unsigned short bits; };  // the upper half of a float

DEVICE float to_float(float value) { return value; }
DEVICE float to_float(BFloat16 value) { return float_from_bits((unsigned)value.bits << 16); }

// FromFloat<T>::convert rounds to the nearest T, ties to even; NaN stays NaN.
template <class T> struct FromFloat;
template <> struct FromFloat<float> {
    static DEVICE float convert(float value) { return value; }
};
template <> struct FromFloat<Half> {
    static DEVICE Half convert(float value) { return half_from_float(value); }
};
template <> struct FromFloat<BFloat16> {
    static DEVICE BFloat16 convert(float value) {
        const unsigned bits = float_bits(value);
        if (value != value) return {(unsigned short)(bits >> 16 | 64)};
        return {(unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
    }
};

// RUN neighboring outputs of a 1-D filter: out[i] = sum over k of taps[k] * u[i * DOWN + k], where u is the source with
// UP - 1 zeros after each sample, and begins at `source`. step: elements from one sample to the next. The zeros are
// never read: all conditions are known at compile time, and every sample is read once.
template <int UP, int DOWN, int TAPS, int RUN>
DEVICE void fir_1d(const float* source, int step, const float* taps, float* out) {
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

// Rows of WIDTH columns may be stored as SPLIT parts, part r holding the columns x with x % SPLIT == r, so that
// neighboring threads, which read every SPLIT-th column, read neighboring words. The position of column x, and the
// column at a position.
template <int SPLIT, int WIDTH> DEVICE int split_position(int x) {
    static_assert(WIDTH % SPLIT == 0, "all parts must be of one length");
    return x % SPLIT * (WIDTH / SPLIT) + x / SPLIT;
}
template <int SPLIT, int WIDTH> DEVICE int split_column(int position) {
    return position % (WIDTH / SPLIT) * SPLIT + position / (WIDTH / SPLIT);
}

// RY x RX neighboring outputs of a 2-D filter taps [TY][TX], with factors UY, UX (up) and DY, DX (down). Their window
// begins at row `source` and column x * SPLIT + SHIFT of a buffer with rows of `pitch` elements and WIDTH split
// columns. SYMMETRIC: every row of the filter is a palindrome, which halves the products.
template <int UY, int UX, int DY, int DX, int TY, int TX, int RY, int RX, bool SYMMETRIC, int SPLIT, int WIDTH,
          int SHIFT>
DEVICE void fir_2d(const float* source, int pitch, int x, const float* taps, float* out) {
    static_assert(RY * DY % UY == 0 && RX * DX % UX == 0, "every patch must begin at the same phase");
    static_assert(!SYMMETRIC || (UX == 1 && RX == 1), "symmetric rows need one output column at the source's own rate");
    constexpr int ROWS = ((RY - 1) * DY + TY - 1) / UY + 1, READ = ((RX - 1) * DX + TX - 1) / UX + 1;
    UNROLL
    for (int i = 0; i < RY * RX; i++) out[i] = 0;
    UNROLL
    for (int s = 0; s < ROWS; s++) {
        float in[READ];
        UNROLL
        for (int c = 0; c < READ; c++) in[c] = source[s * pitch + x + split_position<SPLIT, WIDTH>(c + SHIFT)];
        if constexpr (SYMMETRIC) {
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
                        for (int k = 0; k < (SYMMETRIC ? (TX + 1) / 2 : TX); k++)
                            if ((r * DX + k) % UX == 0)
                                out[y * RX + r] += taps[j * TX + k] * in[(r * DX + k) / UX];
                    }
                }
        }
    }
}

// Load ROWS x COLUMNS samples of plane [height][width], from (top, left) on, to tile [ROWS][PITCH] in shared memory, as
// sample * scale + bias; zeros outside the plane.
template <class T, int ROWS, int COLUMNS, int PITCH>
DEVICE void load_tile(const T* plane, int height, int width, int top, int left, float scale, float bias, float* tile,
                      int tid, int threads) {
    for (int i = tid; i < ROWS * COLUMNS; i += threads) {
        const int y = i / COLUMNS, x = i % COLUMNS;
        const bool inside = (unsigned)(top + y) < (unsigned)height && (unsigned)(left + x) < (unsigned)width;
        float value = 0;
        if (inside) value = to_float(plane[(long long)(top + y) * width + left + x]) * scale + bias;
        tile[y * PITCH + x] = value;
    }
}

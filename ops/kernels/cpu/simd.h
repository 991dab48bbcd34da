// SIMD vectors of float32 through the vector extensions of GCC and Clang; loads and stores of float32 and bfloat16.
//
// A vector holds LANES neighboring channels of one pixel. Template parameter FULL: all lanes are loaded or stored;
// otherwise only the first `count`, and memory beyond them is not touched.
#pragma once
#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vec __attribute__((vector_size(LANES * 4)));
typedef int32_t Mask __attribute__((vector_size(LANES * 4))); // -1 where a comparison holds, else 0
typedef uint32_t Bits __attribute__((vector_size(LANES * 4)));
typedef uint16_t Bf16Vec __attribute__((vector_size(LANES * 2)));

#define INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

// Broadcast to all lanes. A loop over the lanes would compile to one insert per lane. Subtraction, because x - 0 is x
// and compiles to nothing, while x + 0 turns -0 into 0 and stays an addition.
INLINE Vec splat(float value) { return value - Vec{}; }

// Force the value to stay in a register; otherwise GCC reloads it for every use, which takes as long as the product.
INLINE Vec keep_in_register(Vec v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__SSE2__)
    asm("" : "+x"(v));
#elif defined(__aarch64__)
    asm("" : "+w"(v));
#endif
    return v;
}

// The largest lane, or 0 if all are negative.
INLINE float reduce_max(Vec v) {
    float best = 0;
    for (int i = 0; i < LANES; i++) best = v[i] > best ? v[i] : best;
    return best;
}

// Lane-wise maximum; b where either lane is NaN.
INLINE Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
    return (Vec)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__)
    return (Vec)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__)
    return (Vec)_mm_max_ps((__m128)a, (__m128)b);
#else
    return a > b ? a : b;
#endif
}

INLINE Vec abs(Vec v) { return v < 0.0f ? -v : v; }

// Copy `count` elements, at most LANES, without a loop.
template <class T> INLINE void copy_tail(T *to, const T *from, int count) {
    if (LANES >= 16 && (count & 16)) { std::memcpy(to, from, 16 * sizeof(T)); return; }
    if (LANES >= 8 && (count & 8)) { std::memcpy(to, from, 8 * sizeof(T)); to += 8; from += 8; }
    if (count & 4) { std::memcpy(to, from, 4 * sizeof(T)); to += 4; from += 4; }
    if (count & 2) { std::memcpy(to, from, 2 * sizeof(T)); to += 2; from += 2; }
    if (count & 1) std::memcpy(to, from, sizeof(T));
}

// A bfloat16 is the upper half of a float32.
INLINE Vec bf16_to_f32(Bf16Vec h) {
    Bits bits = __builtin_convertvector(h, Bits) << 16;
    Vec v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

// Round to the nearest bfloat16, ties to even; NaN stays NaN.
INLINE Bf16Vec f32_to_bf16(Vec v) {
    Bits bits;
    std::memcpy(&bits, &v, sizeof v);
    Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    Mask not_nan = v == v;
    rounded = (rounded & (Bits)not_nan) | (0x7fc0u & ~(Bits)not_nan);
    return __builtin_convertvector(rounded, Bf16Vec);
}

#if defined(__AVX__) && !defined(__AVX512F__)
// All bits set in the first `count` lanes.
INLINE __m256i lane_mask(int count) {
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(lanes + 8 - count));
}
#endif

template <bool FULL> INLINE Vec load(const float *from, int count) {
    Vec v;
    if (FULL) {
        std::memcpy(&v, from, sizeof v);
        return v;
    }
#if defined(__AVX512F__)
    return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
#elif defined(__AVX__)
    return (Vec)_mm256_maskload_ps(from, lane_mask(count));
#else
    alignas(64) float tail[LANES] = {};
    copy_tail(tail, from, count);
    std::memcpy(&v, tail, sizeof v);
    return v;
#endif
}

template <bool FULL> INLINE Vec load(const uint16_t *from, int count) {
    Bf16Vec h;
    if (FULL) {
        std::memcpy(&h, from, sizeof h);
        return bf16_to_f32(h);
    }
    alignas(64) uint16_t tail[LANES] = {};
    copy_tail(tail, from, count);
    std::memcpy(&h, tail, sizeof h);
    return bf16_to_f32(h);
}

template <bool FULL> INLINE void store(float *to, Vec v, int count) {
    if (FULL) {
        std::memcpy(to, &v, sizeof v);
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)v);
#elif defined(__AVX__)
    _mm256_maskstore_ps(to, lane_mask(count), (__m256)v);
#else
    alignas(64) float tail[LANES];
    std::memcpy(tail, &v, sizeof v);
    copy_tail(to, tail, count);
#endif
}

template <bool FULL> INLINE void store(uint16_t *to, Vec v, int count) {
    Bf16Vec h = f32_to_bf16(v);
    if (FULL) {
        std::memcpy(to, &h, sizeof h);
        return;
    }
    alignas(64) uint16_t tail[LANES];
    std::memcpy(tail, &h, sizeof h);
    copy_tail(to, tail, count);
}

// Non-temporal stores of whole, aligned vectors, for outputs larger than the caches: the cache lines are not read
// before they are written. `nontemporal_fence` makes them visible to other threads.
INLINE void store_nontemporal(float *to, Vec v) {
#if defined(__AVX512F__)
    _mm512_stream_ps(to, (__m512)v);
#elif defined(__AVX__)
    _mm256_stream_ps(to, (__m256)v);
#elif defined(__SSE2__)
    _mm_stream_ps(to, (__m128)v);
#else
    store<true>(to, v, LANES);
#endif
}

INLINE void store_nontemporal(uint16_t *to, Vec v) {
#if defined(__AVX512F__)
    _mm256_stream_si256((__m256i *)to, (__m256i)f32_to_bf16(v));
#elif defined(__AVX__)
    _mm_stream_si128((__m128i *)to, (__m128i)f32_to_bf16(v));
#else
    store<true>(to, v, LANES);
#endif
}

INLINE void nontemporal_fence() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

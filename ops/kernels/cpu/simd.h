// Vectors over channels, through the vector extensions of GCC and Clang, and how they meet float32 and bfloat16 memory.
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
typedef int32_t Mask __attribute__((vector_size(LANES * 4)));
typedef uint32_t Bits __attribute__((vector_size(LANES * 4)));
typedef uint16_t Halves __attribute__((vector_size(LANES * 2)));

#define INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 64")
#endif

// The same number in every lane. A loop over the lanes would compile to as many inserts; adding to zeros would lose
// the sign of -0 and therefore stay an addition, but x - 0 is x.
INLINE Vec splat(float number) { return number - Vec{}; }

// The same, held in a register: compilers would rather read it from memory again for each use, which takes as long as
// the products do.
INLINE Vec held(Vec v) {
#if defined(__AVX512F__)
    asm("" : "+v"(v));
#elif defined(__SSE2__)
    asm("" : "+x"(v));
#elif defined(__aarch64__)
    asm("" : "+w"(v));
#endif
    return v;
}

INLINE float largest(Vec v) {
    float best = 0;
    for (int i = 0; i < LANES; i++) best = v[i] > best ? v[i] : best;
    return best;
}

// The larger of two in each lane; b where one is not a number.
INLINE Vec larger(Vec a, Vec b) {
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

INLINE Vec magnitude(Vec v) { return v < 0.0f ? -v : v; }

// `count` numbers, up to LANES.
template <class T> INLINE void copy_part(T *to, const T *from, int count) {
    if (LANES >= 16 && (count & 16)) { std::memcpy(to, from, 16 * sizeof(T)); return; }
    if (LANES >= 8 && (count & 8)) { std::memcpy(to, from, 8 * sizeof(T)); to += 8; from += 8; }
    if (count & 4) { std::memcpy(to, from, 4 * sizeof(T)); to += 4; from += 4; }
    if (count & 2) { std::memcpy(to, from, 2 * sizeof(T)); to += 2; from += 2; }
    if (count & 1) std::memcpy(to, from, sizeof(T));
}

INLINE Vec widen(Halves h) {
    Bits bits = __builtin_convertvector(h, Bits) << 16;
    Vec v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
}

// Round to the nearest bfloat16, ties to even; what is not a number stays so.
INLINE Halves narrow(Vec v) {
    Bits bits;
    std::memcpy(&bits, &v, sizeof v);
    Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    Mask number = v == v;
    rounded = (rounded & (Bits)number) | (0x7fc0u & ~(Bits)number);
    return __builtin_convertvector(rounded, Halves);
}

#if defined(__AVX__) && !defined(__AVX512F__)
// All bits of the first `count` lanes.
INLINE __m256i first_lanes(int count) {
    static const int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
    return _mm256_loadu_si256((const __m256i *)(lanes + 8 - count));
}
#endif

template <bool WHOLE> INLINE Vec load(const float *from, int count) {
    Vec v;
    if (WHOLE) {
        std::memcpy(&v, from, sizeof v);
        return v;
    }
#if defined(__AVX512F__)
    return (Vec)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
#elif defined(__AVX__)
    return (Vec)_mm256_maskload_ps(from, first_lanes(count));
#else
    alignas(64) float part[LANES] = {};
    copy_part(part, from, count);
    std::memcpy(&v, part, sizeof v);
    return v;
#endif
}

template <bool WHOLE> INLINE Vec load(const uint16_t *from, int count) {
    Halves h;
    if (WHOLE) {
        std::memcpy(&h, from, sizeof h);
        return widen(h);
    }
    alignas(64) uint16_t part[LANES] = {};
    copy_part(part, from, count);
    std::memcpy(&h, part, sizeof h);
    return widen(h);
}

template <bool WHOLE> INLINE void store(float *to, Vec v, int count) {
    if (WHOLE) {
        std::memcpy(to, &v, sizeof v);
        return;
    }
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)v);
#elif defined(__AVX__)
    _mm256_maskstore_ps(to, first_lanes(count), (__m256)v);
#else
    alignas(64) float part[LANES];
    std::memcpy(part, &v, sizeof v);
    copy_part(to, part, count);
#endif
}

template <bool WHOLE> INLINE void store(uint16_t *to, Vec v, int count) {
    Halves h = narrow(v);
    if (WHOLE) {
        std::memcpy(to, &h, sizeof h);
        return;
    }
    alignas(64) uint16_t part[LANES];
    std::memcpy(part, &h, sizeof h);
    copy_part(to, part, count);
}

// Whole, aligned vectors past the caches, for results that are larger than they are: what is written there need not be
// read before. `finish_streams` makes them visible to other threads.
INLINE void stream(float *to, Vec v) {
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

INLINE void stream(uint16_t *to, Vec v) {
#if defined(__AVX512F__)
    _mm256_stream_si256((__m256i *)to, (__m256i)narrow(v));
#elif defined(__AVX__)
    _mm_stream_si128((__m128i *)to, (__m128i)narrow(v));
#else
    store<true>(to, v, LANES);
#endif
}

INLINE void finish_streams() {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

// Compile the CUDA kernels with g++: a block is one thread, barriers do nothing, shared memory starts as NaN.
// With BANDLIMIT_THREADS a block has that many threads and real barriers, so that a thread sanitizer finds races.
#define BANDLIMIT_SHIM
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>
#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C"
#endif
#define DEVICE inline
#define UNROLL
#ifdef BANDLIMIT_THREADS
#include <barrier>
#include <thread>
inline std::barrier<>& block_barrier() {
    static std::barrier<> barrier(BANDLIMIT_THREADS);
    return barrier;
}
#define BARRIER() block_barrier().arrive_and_wait()
template <class Body> void run_block(Body body) {
    std::vector<std::thread> threads;
    for (int tid = 0; tid < BANDLIMIT_THREADS; tid++) threads.emplace_back(body, tid, BANDLIMIT_THREADS);
    for (auto& thread : threads) thread.join();
}
#else
#define BARRIER()
template <class Body> void run_block(Body body) { body(0, 1); }
#endif
#define ENTRY(NAME, PARAMS, BODY)                                                                    \
    EXPORT void NAME(const void* params, int blocks, int words) {                                  \
        const PARAMS& p = *static_cast<const PARAMS*>(params);                                       \
        for (int block = 0; block < blocks; block++) {                                               \
            std::vector<float> memory(words, std::numeric_limits<float>::quiet_NaN());               \
            run_block([&](int tid, int threads) { BODY(p, memory.data(), block, tid, threads); });   \
        }                                                                                            \
    }                                                                                                \
    EXPORT int NAME##_size() { return (int)sizeof(PARAMS); }

struct Half { unsigned short bits; };

inline unsigned float_bits(float value) { unsigned bits; std::memcpy(&bits, &value, 4); return bits; }
inline float float_from_bits(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline float to_float(Half value) {
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    float magnitude = exponent == 31 ? (fraction ? NAN : INFINITY)
               : exponent ? std::ldexp(float(1024 + fraction), exponent - 25) : std::ldexp(float(fraction), -24);
    return value.bits & 0x8000 ? -magnitude : magnitude;
}
inline Half half_from_float(float value) {  // round to nearest, ties to even
    const unsigned short sign = (unsigned short)(float_bits(value) >> 16 & 0x8000);
    const float magnitude = std::fabs(value);
    if (value != value) return {(unsigned short)(sign | 0x7e00)};
    if (magnitude >= 65520.f) return {(unsigned short)(sign | 0x7c00)};
    int exponent;
    std::frexp(magnitude, &exponent);
    const int unit = magnitude == 0 || exponent < -13 ? -24 : exponent - 11;  // log2 of the last bit's value
    const unsigned rounded = (unsigned)std::nearbyint(std::ldexp(magnitude, -unit));
    return {(unsigned short)(sign | (unit == -24 ? rounded : ((unit + 24) << 10) + rounded))};
}

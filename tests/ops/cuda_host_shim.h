// Lets g++ compile the CUDA kernels: a block is one thread, a barrier is nothing, shared memory starts as NaN.
// With BANDLIMIT_THREADS a block is that many threads with real barriers, for a tool that finds races.
#define BANDLIMIT_SHIM
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>
#ifdef _WIN32
#define EXPORTED extern "C" __declspec(dllexport)
#else
#define EXPORTED extern "C"
#endif
#define DEVICE inline
#define UNROLL
#ifdef BANDLIMIT_THREADS
#include <barrier>
#include <thread>
inline std::barrier<>& meeting() {
    static std::barrier<> all(BANDLIMIT_THREADS);
    return all;
}
#define BARRIER() meeting().arrive_and_wait()
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
    EXPORTED void NAME(const void* params, int blocks, int words) {                                  \
        const PARAMS& p = *static_cast<const PARAMS*>(params);                                       \
        for (int block = 0; block < blocks; block++) {                                               \
            std::vector<float> memory(words, std::numeric_limits<float>::quiet_NaN());               \
            run_block([&](int tid, int threads) { BODY(p, memory.data(), block, tid, threads); });   \
        }                                                                                            \
    }                                                                                                \
    EXPORTED int NAME##_size() { return (int)sizeof(PARAMS); }

struct Half { unsigned short bits; };

inline unsigned bits_of(float value) { unsigned bits; std::memcpy(&bits, &value, 4); return bits; }
inline float float_of(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
inline float widen(Half value) {
    const int exponent = value.bits >> 10 & 31, fraction = value.bits & 1023;
    float size = exponent == 31 ? (fraction ? NAN : INFINITY)
               : exponent ? std::ldexp(float(1024 + fraction), exponent - 25) : std::ldexp(float(fraction), -24);
    return value.bits & 0x8000 ? -size : size;
}
inline Half narrow_half(float wide) {  // to nearest, ties to even
    const unsigned short sign = (unsigned short)(bits_of(wide) >> 16 & 0x8000);
    const float size = std::fabs(wide);
    if (wide != wide) return {(unsigned short)(sign | 0x7e00)};
    if (size >= 65520.f) return {(unsigned short)(sign | 0x7c00)};
    int exponent;
    std::frexp(size, &exponent);
    const int unit = size == 0 || exponent < -13 ? -24 : exponent - 11;  // what the last bit counts, as a power of two
    const unsigned steps = (unsigned)std::nearbyint(std::ldexp(size, -unit));
    return {(unsigned short)(sign | (unit == -24 ? steps : ((unit + 24) << 10) + steps))};
}

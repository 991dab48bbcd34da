// What is between raising and lowering: leaky ReLU and clamp, and their derivative.
#pragma once
#include "simd.h"

// The pointwise part: t -> clamp(leaky(t)).
struct Kink {
    float slope, clamp;
    bool bends, clamps;
};

// GENTLY is BENT for slopes from 0 to 1, which takes one step less.
enum { PLAIN, GENTLY, BENT, CLAMPED, HOWS };

template <int HOW> INLINE Vec bend(Vec t, Vec slope, Vec high) {
    if (HOW == PLAIN) return t;
    if (HOW == GENTLY) return larger(t * slope, t);
    t = t > 0.0f ? t : t * slope;
    if (HOW == CLAMPED) t = t > high ? high : (t < -high ? -high : t);
    return t;
}

// t becomes v times the derivative of the pointwise part at t.
inline void multiply_slope(Vec *t, const Vec *v, int count, const Kink &kink, bool may_clamp) {
    Vec slope = splat(kink.slope), high = splat(kink.clamp);
    for (int i = 0; i < count; i++) {
        Vec rate = t[i] > 0.0f ? splat(1.0f) : slope;
        if (kink.clamps && may_clamp) rate = magnitude(t[i] * rate) > high ? Vec{} : rate;
        t[i] = rate * v[i];
    }
}

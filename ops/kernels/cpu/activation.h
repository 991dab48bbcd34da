// Leaky ReLU with clamp, applied between upsampling and downsampling, and its derivative.
#pragma once
#include "simd.h"

struct LeakyReluClamp {
    float slope, clamp;
    bool has_slope, has_clamp; // whether slope != 1; whether there is a clamp
};

// How `activate` computes clamp(leaky_relu(t)).
// IDENTITY: no activation. LRELU_AS_MAX: for 0 <= slope <= 1, leaky ReLU is max(t, slope * t), one instruction less.
// LRELU: any slope. LRELU_CLAMP: any slope, with clamp.
enum { IDENTITY, LRELU_AS_MAX, LRELU, LRELU_CLAMP, NUM_MODES };

template <int MODE> INLINE Vec activate(Vec t, Vec slope, Vec clamp) {
    if (MODE == IDENTITY) return t;
    if (MODE == LRELU_AS_MAX) return max(t * slope, t);
    t = t > 0.0f ? t : t * slope;
    if (MODE == LRELU_CLAMP) t = t > clamp ? clamp : (t < -clamp ? -clamp : t);
    return t;
}

// t[i] = grad[i] * (derivative of the activation at t[i]), for `count` vectors. `may_clamp` false: |t| is known to stay
// below the clamp.
inline void multiply_activation_grad(Vec *t, const Vec *grad, int count, const LeakyReluClamp &activation,
                                     bool may_clamp) {
    Vec slope = splat(activation.slope), clamp = splat(activation.clamp);
    for (int i = 0; i < count; i++) {
        Vec derivative = t[i] > 0.0f ? splat(1.0f) : slope;
        if (activation.has_clamp && may_clamp) derivative = abs(t[i] * derivative) > clamp ? Vec{} : derivative;
        t[i] = derivative * grad[i];
    }
}

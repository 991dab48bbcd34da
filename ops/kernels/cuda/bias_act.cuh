// Bias and activation, element by element: clamp(gain * act(x + bias)). The enum is the order of ACTIVATIONS in
// upfirdn2d_tiling.py.
//
// G, made by upfirdn2d_tiling.py: Sample: type of x and out. Index: integer that counts all samples. ACT: activation.
// SAMPLES_PER_BLOCK: samples of one block.
enum { LINEAR, RELU, LRELU, TANH, SIGMOID, ELU, SELU, SOFTPLUS, SWISH };

struct BiasAct {
    const void* x;                    // [count]
    void* out;                        // [count]
    const float* bias;                // [channels] or null
    long long count, channel_stride;  // samples in all; samples from one channel to the next
    int channels;
    float alpha, gain, clamp;  // alpha: slope of LRELU; clamp: infinity for none
};

template <int ACT> DEVICE float activate(float t, float alpha) {
    if constexpr (ACT == RELU) return t < 0 ? 0.f : t;  // this order keeps NaN
    if constexpr (ACT == LRELU) return t > 0 ? t : t * alpha;
    if constexpr (ACT == TANH) return tanhf(t);
    if constexpr (ACT == SIGMOID) return 1.f / (1.f + expf(-t));
    if constexpr (ACT == ELU) return t > 0 ? t : expm1f(t);
    if constexpr (ACT == SELU)  // Klambauer et al. 2017
        return 1.0507009873554804934f * (t > 0 ? t : 1.6732632423543772848f * expm1f(t));
    if constexpr (ACT == SOFTPLUS) return t > 20.f ? t : log1pf(expf(t));
    if constexpr (ACT == SWISH) return t / (1.f + expf(-t));
    return t;
}

template <class G> DEVICE void bias_act(const BiasAct& p, float*, int block, int tid, int threads) {
    using T = typename G::Sample;
    using Index = typename G::Index;
    const long long first = (long long)block * G::SAMPLES_PER_BLOCK;
    const long long last = first + G::SAMPLES_PER_BLOCK < p.count ? first + G::SAMPLES_PER_BLOCK : p.count;
    for (long long i = first + tid; i < last; i += threads) {
        float t = to_float(((const T*)p.x)[i]);
        if (p.bias) t += p.bias[(Index)i / (Index)p.channel_stride % p.channels];
        t = activate<G::ACT>(t, p.alpha) * p.gain;
        t = t > p.clamp ? p.clamp : t;
        ((T*)p.out)[i] = FromFloat<T>::convert(t < -p.clamp ? -p.clamp : t);
    }
}

// clamp(gain * act(x + bias)), sample by sample. The numbers of the activations are the order in ops/bias_act.py.
enum { LINEAR, RELU, LRELU, TANH, SIGMOID, ELU, SELU, SOFTPLUS, SWISH };

struct BiasAct {
    const void* x;
    void* out;
    const float* bias;       // [channels] or null
    long long count, step;   // samples in all, and from one channel to the next
    int channels;
    float alpha, gain, clamp;
};

template <int ACT> DEVICE float activate(float t, float alpha) {
    if constexpr (ACT == RELU) return t < 0 ? 0.f : t;  // written so that NaN stays NaN
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
    const long long first = (long long)block * G::SHARE;
    const long long last = first + G::SHARE < p.count ? first + G::SHARE : p.count;
    for (long long i = first + tid; i < last; i += threads) {
        float t = widen(((const T*)p.x)[i]);
        if (p.bias) t += p.bias[(typename G::Index)i / (typename G::Index)p.step % p.channels];
        t = activate<G::ACT>(t, p.alpha) * p.gain;
        t = t > p.clamp ? p.clamp : t;
        ((T*)p.out)[i] = Narrow<T>::from(t < -p.clamp ? -p.clamp : t);
    }
}

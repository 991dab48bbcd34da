// Memory of one thread, kept from call to call.
#pragma once
#include "simd.h"
#include <cstdint>
#include <cstdlib>

struct Scratch {
    void *memory = nullptr;
    size_t size = 0;
    ~Scratch() { std::free(memory); }
    Vec *get(size_t vectors) {
        size_t bytes = (vectors + 1) * sizeof(Vec) + 64;
        if (bytes > size) {
            std::free(memory);
            memory = std::calloc(bytes, 1); // zeros: what is only read to be thrown away should be no slow number
            size = memory ? bytes : 0;
        }
        return memory ? (Vec *)(((uintptr_t)memory + 63) & ~(uintptr_t)63) : nullptr;
    }
};
inline thread_local Scratch scratch;

// Per-thread scratch memory that grows on demand and is reused from call to call.
#pragma once
#include "simd.h"
#include <cstdint>
#include <cstdlib>

struct Workspace {
    void *memory = nullptr;
    size_t size = 0; // bytes
    ~Workspace() { std::free(memory); }

    // At least `vectors` vectors, aligned to 64 bytes; null if there is not enough memory. The contents of the previous
    // call may still be there. A pointer is valid until the next call of the same thread.
    Vec *get(size_t vectors) {
        size_t bytes = (vectors + 1) * sizeof(Vec) + 64;
        if (bytes > size) {
            std::free(memory);
            memory = std::calloc(bytes, 1); // zeros: padding lanes are computed and discarded, and denormals are slow
            size = memory ? bytes : 0;
        }
        return memory ? (Vec *)(((uintptr_t)memory + 63) & ~(uintptr_t)63) : nullptr;
    }
};
inline thread_local Workspace workspace;

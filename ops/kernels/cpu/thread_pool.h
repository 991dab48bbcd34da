// Thread pool: runs numbered tasks on a few threads that sleep between calls.
//
// The calling thread works too, and waits only for workers that have started: a worker that wakes late, or was lost in
// a fork, delays nothing. Waking a sleeping thread takes as long as a small layer, so callers and workers spin for up
// to 60 microseconds before they sleep.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <system_error>
#include <thread>
#if !defined(_WIN32)
#include <unistd.h>
#endif

class ThreadPool {
public:
    // The pool of this process. It is never destroyed: its threads sleep until the process ends. A forked child has
    // lost the parent's threads and makes a new pool.
    static ThreadPool &shared() {
        static std::mutex guard;
        static ThreadPool *pool = nullptr;
        static long owner = -1;
        long me = process_id();
        std::lock_guard<std::mutex> lock(guard);
        if (!pool || owner != me) { pool = new ThreadPool; owner = me; }
        return *pool;
    }

    // Call function(context, task) for every task in [0, tasks), on up to `threads` threads. Runs everything on the
    // calling thread while another call is in progress.
    void run(void (*function)(void *, int64_t), void *context, int64_t tasks, int threads) {
        std::unique_lock<std::mutex> exclusive(busy_, std::try_to_lock);
        if (threads > tasks) threads = (int)tasks;
        if (threads <= 1 || !exclusive.owns_lock()) {
            for (int64_t task = 0; task < tasks; task++) function(context, task);
            return;
        }
        int workers = threads - 1, asleep;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (started_ < workers) {
                try {
                    std::thread(&ThreadPool::worker_loop, this).detach();
                } catch (const std::system_error &) {
                    break; // the system's limit is reached: work with the threads there are
                }
                started_++;
            }
            function_ = function; context_ = context; tasks_ = tasks;
            next_task_.store(0, std::memory_order_relaxed);
            open_slots_.store(workers);
            asleep = asleep_;
        }
        for (int i = 0; i < workers && i < asleep; i++) wake_.notify_one();
        run_tasks();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            open_slots_.store(0);
        }
        if (spin_until([this] { return active_.load() == 0; })) return;
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return active_.load() == 0; });
    }

private:
    static long process_id() {
#if defined(_WIN32)
        return 0; // Windows has no fork
#else
        return (long)getpid();
#endif
    }

    // Spin until the condition holds, at most 60 microseconds; return whether it holds.
    template <class Condition> static bool spin_until(Condition condition) {
        using Clock = std::chrono::steady_clock;
        const Clock::time_point end = Clock::now() + std::chrono::microseconds(60);
        do {
            for (int i = 0; i < 16; i++) {
                if (condition()) return true;
#if defined(__x86_64__)
                __builtin_ia32_pause();
#elif defined(__aarch64__)
                asm volatile("yield");
#endif
            }
        } while (Clock::now() < end);
        return condition();
    }

    // Run tasks until none is left.
    void run_tasks() {
        for (;;) {
            int64_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
            if (task >= tasks_) return;
            function_(context_, task);
        }
    }

    void worker_loop() {
        for (;;) {
            spin_until([this] { return open_slots_.load() > 0; });
            std::unique_lock<std::mutex> lock(mutex_);
            asleep_++;
            wake_.wait(lock, [this] { return open_slots_.load() > 0; });
            asleep_--;
            open_slots_--;
            active_++;
            lock.unlock();
            run_tasks();
            lock.lock();
            if (--active_ == 0) done_.notify_one();
        }
    }

    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    void (*function_)(void *, int64_t) = nullptr;
    void *context_ = nullptr;
    int64_t tasks_ = 0;
    std::atomic<int64_t> next_task_{0};
    std::atomic<int> open_slots_{0}, active_{0}; // workers that may still join this call; workers that are in it
    int started_ = 0, asleep_ = 0;               // threads of the pool; those that sleep
};

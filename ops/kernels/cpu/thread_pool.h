// A few threads that rest until there is work. Whoever brings the work takes part in it and waits for nobody who has
// not begun, so that a late thread, or one lost in a fork, delays nothing. Waking a sleeping thread takes as long as a
// small layer's work, so all look out a short while before they sleep.
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

class Pool {
public:
    // Never destroyed: its threads sleep until the process ends. A forked process has lost them and starts anew.
    static Pool &shared() {
        static std::mutex guard;
        static Pool *pool = nullptr;
        static long owner = -1;
        long me = process();
        std::lock_guard<std::mutex> lock(guard);
        if (!pool || owner != me) { pool = new Pool; owner = me; }
        return *pool;
    }

    // Calls work(context, task) for each task below `tasks`, on up to `threads` threads.
    void run(void (*work)(void *, int64_t), void *context, int64_t tasks, int threads) {
        std::unique_lock<std::mutex> turn(busy_, std::try_to_lock);
        if (threads > tasks) threads = (int)tasks;
        if (threads <= 1 || !turn.owns_lock()) {
            for (int64_t task = 0; task < tasks; task++) work(context, task);
            return;
        }
        int wanted = threads - 1, asleep;
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (started_ < wanted) {
                try {
                    std::thread(&Pool::serve, this).detach();
                } catch (const std::system_error &) {
                    break; // as many as the system gives
                }
                started_++;
            }
            work_ = work; context_ = context; tasks_ = tasks;
            next_.store(0, std::memory_order_relaxed);
            places_.store(wanted);
            asleep = asleep_;
        }
        for (int i = 0; i < wanted && i < asleep; i++) wake_.notify_one();
        take();
        {
            std::lock_guard<std::mutex> lock(mutex_);
            places_.store(0);
        }
        if (look_out([this] { return inside_.load() == 0; })) return;
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return inside_.load() == 0; });
    }

private:
    static long process() {
#if defined(_WIN32)
        return 0;
#else
        return (long)getpid();
#endif
    }

    // Whether it came true within a moment.
    template <class Seen> static bool look_out(Seen seen) {
        using Clock = std::chrono::steady_clock;
        const Clock::time_point end = Clock::now() + std::chrono::microseconds(60);
        do {
            for (int i = 0; i < 16; i++) {
                if (seen()) return true;
#if defined(__x86_64__)
                __builtin_ia32_pause();
#elif defined(__aarch64__)
                asm volatile("yield");
#endif
            }
        } while (Clock::now() < end);
        return seen();
    }

    void take() {
        for (;;) {
            int64_t task = next_.fetch_add(1, std::memory_order_relaxed);
            if (task >= tasks_) return;
            work_(context_, task);
        }
    }

    void serve() {
        for (;;) {
            look_out([this] { return places_.load() > 0; });
            std::unique_lock<std::mutex> lock(mutex_);
            asleep_++;
            wake_.wait(lock, [this] { return places_.load() > 0; });
            asleep_--;
            places_--;
            inside_++;
            lock.unlock();
            take();
            lock.lock();
            if (--inside_ == 0) done_.notify_one();
        }
    }

    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    void (*work_)(void *, int64_t) = nullptr;
    void *context_ = nullptr;
    int64_t tasks_ = 0;
    std::atomic<int64_t> next_{0};
    std::atomic<int> places_{0}, inside_{0}; // how many more may begin; how many have and are not done
    int started_ = 0, asleep_ = 0;
};

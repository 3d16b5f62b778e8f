// An array in the memory that DPDK was given, so on hugepages and on the worker's NUMA node: for what is touched at
// random and for each flow, where a page of 4 KB would cost a miss of its own.
//
// Allocated once, at start; throws std::runtime_error when memory is short. Owner: one worker.
#pragma once

#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <type_traits>

#include <rte_malloc.h>

namespace sluice {

template <class T>
class HugeArray {
    static_assert(std::is_trivially_destructible_v<T>);

public:
    HugeArray() = default;
    /// `size` elements, each made from `value`, or by default. `socket`: NUMA node, -1: any.
    template <class... Value>
    HugeArray(std::uint32_t size, int socket, const Value&... value)
        : values_(static_cast<T*>(rte_malloc_socket("sluice-flows", sizeof(T) * size, 64, socket))), size_(size) {
        if (values_ == nullptr) throw std::runtime_error("no memory for the flow table (raise memory.megabytes)");
        for (std::uint32_t i = 0; i < size; ++i) new (values_.get() + i) T(value...);
    }

    /// As of a pointer: an array that is const may have its elements written.
    [[nodiscard]] T& operator[](std::uint32_t i) const noexcept { return values_.get()[i]; }
    [[nodiscard]] T* data() const noexcept { return values_.get(); }
    [[nodiscard]] std::uint32_t size() const noexcept { return size_; }

private:
    struct Free {
        void operator()(T* values) const noexcept { rte_free(values); }
    };
    std::unique_ptr<T, Free> values_;
    std::uint32_t size_ = 0;
};

}  // namespace sluice

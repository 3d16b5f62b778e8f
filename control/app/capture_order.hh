// Puts the copies of a capture, which come from several rings, into the order of their stamps.
//
// add() in any order, due() gives out what can no longer be preceded by anything. What is stamped later stays for the
// next time.
// Owner: one thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace sluice {

template <class Item>
class CaptureOrder {
public:
    void add(std::uint64_t tsc, Item item) { held_.push_back({tsc, std::move(item)}); }

    /// What is stamped before `limit_tsc`, in order; of equal stamps, what was added first.
    [[nodiscard]] std::vector<Item> due(std::uint64_t limit_tsc) {
        std::stable_sort(held_.begin(), held_.end(), [](const Held& a, const Held& b) { return a.tsc < b.tsc; });
        const auto end = std::find_if(held_.begin(), held_.end(), [&](const Held& h) { return h.tsc >= limit_tsc; });
        std::vector<Item> items;
        items.reserve(static_cast<std::size_t>(end - held_.begin()));
        for (auto h = held_.begin(); h != end; ++h) items.push_back(std::move(h->item));
        held_.erase(held_.begin(), end);
        return items;
    }

    /// All the rest.
    [[nodiscard]] std::vector<Item> all() { return due(~std::uint64_t{0}); }

private:
    struct Held {
        std::uint64_t tsc;
        Item item;
    };
    std::vector<Held> held_;
};

}  // namespace sluice

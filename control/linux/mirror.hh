// A copy of one of the kernel's tables, kept by mark and sweep: what a new dump does not mention any more is withdrawn.
//
// While a dump runs, events come in between. The rule is that an event is never older than what the dump says: an entry
// that an event touched since the dump began is not overwritten by the dump, and one that an event removed is not
// brought back. The sweep goes in slices, so that a table of any size costs a bounded time per wake-up.
// Owner: the control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace sluice {

template <class Key, class Value>
class Mirror {
public:
    /// From here on, put_from_dump() marks and sweep() will remove what was not marked.
    void begin_dump() {
        ++epoch_;
        dumping_ = true;
        removed_meanwhile_.clear();
        cursor_.reset();
    }

    /// Before the sweep: the dump is complete. Without this, nothing may be swept.
    void end_dump() {
        dumping_ = false;
        removed_meanwhile_.clear();
    }

    /// True when the value is new or different.
    bool put_from_event(const Key& key, const Value& value) {
        if (dumping_) removed_meanwhile_.erase(key);
        return assign(key, value);
    }

    /// True when the value is new or different and the dump is to be believed.
    bool put_from_dump(const Key& key, const Value& value) {
        if (removed_meanwhile_.contains(key) || is_marked(key)) return false;
        return assign(key, value);
    }

    /// What was removed, if it was known.
    std::optional<Value> erase_from_event(const Key& key) {
        if (dumping_) removed_meanwhile_.insert(key);
        const auto at = entries_.find(key);
        if (at == entries_.end()) return std::nullopt;
        std::optional<Value> old{std::move(at->second.value)};
        entries_.erase(at);
        return old;
    }

    /// Removes the unmarked among the next `limit` entries and hands each to `withdraw(value)`, which must not change
    /// this table. True when the sweep is through.
    template <class Withdraw>
    bool sweep(std::size_t limit, Withdraw&& withdraw) {
        auto at = cursor_ ? entries_.upper_bound(*cursor_) : entries_.begin();
        for (; limit > 0 && at != entries_.end(); --limit) {
            cursor_ = at->first;
            if (at->second.epoch == epoch_) {
                ++at;
                continue;
            }
            const Value old = std::move(at->second.value);
            at = entries_.erase(at);
            withdraw(old);
        }
        if (at != entries_.end()) return false;
        cursor_.reset();
        return true;
    }

    [[nodiscard]] const Value* find(const Key& key) const {
        const auto at = entries_.find(key);
        return at == entries_.end() ? nullptr : &at->second.value;
    }
    /// The first key behind `key`, if there is one.
    [[nodiscard]] const Key* next(const Key& key) const {
        const auto at = entries_.upper_bound(key);
        return at == entries_.end() ? nullptr : &at->first;
    }
    /// Mentioned by the current dump, or by an event since it began.
    [[nodiscard]] bool is_marked(const Key& key) const {
        const auto at = entries_.find(key);
        return at != entries_.end() && at->second.epoch == epoch_;
    }
    [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

private:
    struct Entry {
        Value value;
        std::uint64_t epoch;
    };

    bool assign(const Key& key, const Value& value) {
        const auto [at, is_new] = entries_.try_emplace(key, Entry{value, epoch_});
        if (is_new) return true;
        at->second.epoch = epoch_;
        if (at->second.value == value) return false;
        at->second.value = value;
        return true;
    }

    std::map<Key, Entry> entries_;
    std::set<Key> removed_meanwhile_;
    std::optional<Key> cursor_;  ///< the last key that the sweep looked at
    std::uint64_t epoch_ = 0;
    bool dumping_ = false;
};

}  // namespace sluice

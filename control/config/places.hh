// Where in the file a value stands that was read without keeping its place: for checks of the whole configuration,
// which see values that were read long before.
//
// Lives as long as one check; the tree and the findings must outlive it.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "control/config/reader.hh"

namespace sluice::config {

/// One step down the tree: the key of a map or the index of a list.
struct Step {
    Step(const char* k) : key{k} {}                    // NOLINT(google-explicit-constructor)
    Step(const std::string& k) : key{k} {}             // NOLINT(google-explicit-constructor)
    Step(std::size_t i) : index{i}, is_index{true} {}  // NOLINT(google-explicit-constructor)
    std::string_view key;
    std::size_t index = 0;
    bool is_index = false;
};

class Places {
public:
    Places(const YamlNode& root, Findings& findings) : root_{root}, findings_{findings} {}

    /// At the deepest step that the file has: a default has no place of its own.
    void error(std::initializer_list<Step> steps, std::string message) {
        descend(Value{root_, findings_}, steps.begin(), steps.end(), std::move(message));
    }

private:
    static void descend(const Value& value, const Step* step, const Step* end, std::string message) {
        if (step == end) return value.error(std::move(message));
        if (step->is_index) {
            // One value may stand where a list could: its index is no step then.
            if (!value.is(YamlNode::Kind::sequence)) return descend(value, step + 1, end, std::move(message));
            return descend(value.item(step->index), step + 1, end, std::move(message));
        }
        const YamlNode* entry = value.find(step->key);
        if (entry == nullptr) return value.error(std::move(message));
        descend(value.child(*entry), step + 1, end, std::move(message));
    }

    const YamlNode& root_;
    Findings& findings_;
};

}  // namespace sluice::config

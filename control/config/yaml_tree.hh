// A YAML text as a tree with the place of every key and value. Built from yaml-cpp's events and not from its nodes,
// because nodes lose the places of keys, hide what was a duplicate, and expand aliases without a bound.
//
// Limits, each a plain error: kMaxTextBytes of text, kMaxDepth levels, kMaxNodes values after aliases were expanded.
// Tags, keys that are not text, and a second document are errors too: nothing in a configuration needs them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::config {

inline constexpr std::size_t kMaxTextBytes = std::size_t{16} << 20;
inline constexpr std::size_t kMaxDepth = 32;
inline constexpr std::size_t kMaxNodes = std::size_t{2} << 20;

/// Counted from 1; 0 means that there is no place.
struct Position {
    unsigned line = 0;
    unsigned column = 0;

    friend bool operator==(const Position&, const Position&) = default;
};

struct YamlNode {
    enum class Kind : std::uint8_t { null, scalar, sequence, map };

    Kind kind = Kind::null;
    Position at;
    Position key_at;              ///< of the key, when the parent is a map
    std::string key;              ///< when the parent is a map
    std::string text;             ///< of a scalar
    std::vector<YamlNode> items;  ///< of a sequence or, each with its key and in the order of the file, of a map
};

struct YamlResult {
    std::optional<YamlNode> root;  ///< null kind for a text without any value
    Position at;                   ///< of the error, when there is no root
    std::string message;
};

/// Never throws (but for lack of memory).
YamlResult parse_yaml(std::string_view text);

}  // namespace sluice::config

// Typed access to the tree: a Value knows its place and dotted path, a map is read by a table of fields, and every
// mistake goes to one list while reading goes on. The tables are the only list of keys there is: what is unknown, what
// is missing, what is a duplicate and what KeyCoverage reports follow from them.
//
// A Value lives on the stack of the function that walks the tree and points to its parent's Value there.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "control/config/enum_names.hh"
#include "control/config/error.hh"
#include "control/config/load.hh"
#include "control/config/parse_values.hh"
#include "control/config/schema.hh"
#include "control/config/yaml_tree.hh"

namespace sluice::config {

/// A name that must be one of the configuration's own; checked when the whole file has been read.
struct Reference {
    enum class Kind : std::uint8_t { port, address_group, port_group, timeout_policy };
    Kind kind = Kind::port;
    std::string name;
    Position at;
    std::string path;
};

/// What one load collects. Not shared.
class Findings {
public:
    explicit Findings(std::string file, KeyCoverage* coverage = nullptr)
        : file_{std::move(file)}, coverage_{coverage} {}

    void error(Position at, std::string path, std::string message);
    [[nodiscard]] std::size_t error_count() const noexcept { return count_; }
    /// By place; at most kMaxErrors of them and then a line that says how many more there were.
    [[nodiscard]] std::vector<ConfigError> take_errors();

    std::vector<Reference> references;

    void note_key(const std::string& path, bool used) {
        if (coverage_ != nullptr) (*coverage_)[path] |= used;
    }
    [[nodiscard]] bool notes_keys() const noexcept { return coverage_ != nullptr; }

    static constexpr std::size_t kMaxErrors = 1000;

private:
    std::string file_;
    std::vector<ConfigError> errors_;
    std::size_t count_ = 0;
    KeyCoverage* coverage_;
};

class Value {
public:
    Value(const YamlNode& node, Findings& findings) : node_{&node}, findings_{&findings} {}

    [[nodiscard]] const YamlNode& node() const noexcept { return *node_; }
    [[nodiscard]] Findings& findings() const noexcept { return *findings_; }
    [[nodiscard]] Position at() const noexcept;
    [[nodiscard]] std::string path() const { return path(false); }

    /// The entry of a map, or the item of a list. The node must be a child of this Value's node.
    [[nodiscard]] Value child(const YamlNode& entry) const { return {entry, this, 0}; }
    [[nodiscard]] Value item(std::size_t index) const { return {node_->items[index], this, index}; }

    void error(std::string message) const { findings_->error(at(), path(), std::move(message)); }
    /// At the value of `key` when the map has it, else at the map.
    void error_at(std::string_view key, std::string message) const;

    [[nodiscard]] bool has(std::string_view key) const noexcept { return find(key) != nullptr; }
    [[nodiscard]] bool is(YamlNode::Kind kind) const noexcept { return node_->kind == kind; }
    [[nodiscard]] const YamlNode* find(std::string_view key) const noexcept;

    /// True when the value is of this kind; else says so. `wanted` as in "expected a map".
    bool expect(YamlNode::Kind kind, std::string_view wanted) const;

    /// The text of a scalar; nothing, and an error, for any other kind.
    [[nodiscard]] const std::string* scalar(std::string_view wanted) const;

    void refer(Reference::Kind kind, const std::string& name) const;

private:
    Value(const YamlNode& node, const Value* parent, std::size_t index)
        : node_{&node}, findings_{parent->findings_}, parent_{parent}, index_{index} {}

    [[nodiscard]] std::string path(bool pattern) const;
    friend class MapChecker;

    const YamlNode* node_;
    Findings* findings_;
    const Value* parent_ = nullptr;
    std::size_t index_ = 0;
};

enum class Need : std::uint8_t { optional, required };

/// One key of a map: what to do with its value.
template <class T>
struct Field {
    std::string_view key;
    void (*read)(const Value&, T&);
    Need need = Need::optional;
};

/// The part of reading a map that does not depend on the type read.
class MapChecker {
public:
    /// Complains unless the value is a map.
    explicit MapChecker(const Value& map);
    [[nodiscard]] bool is_map() const noexcept { return is_map_; }
    /// Complains about a duplicate and about a value that is missing; false: leave the entry alone.
    bool take(const YamlNode& entry);
    void unknown(const YamlNode& entry, std::span<const std::string_view> known) const;
    void note(std::string_view key) const;
    void missing(std::string_view key) const;

private:
    const Value& map_;
    bool is_map_;
    std::map<std::string_view, Position> seen_;
};

/// Reads what is there into `out`; what is not there keeps its default.
template <class T, std::size_t N>
void read_map(const Value& map, const std::array<Field<T>, N>& fields, T& out) {
    MapChecker checker{map};
    if (!checker.is_map()) return;
    for (const Field<T>& field : fields) checker.note(field.key);
    for (const YamlNode& entry : map.node().items) {
        const Field<T>* found = nullptr;
        for (const Field<T>& field : fields) {
            if (field.key == entry.key) found = &field;
        }
        if (found == nullptr) {
            std::array<std::string_view, N> known;
            std::ranges::transform(fields, known.begin(), &Field<T>::key);
            checker.unknown(entry, known);
        } else if (checker.take(entry)) {
            found->read(map.child(entry), out);
        }
    }
    for (const Field<T>& field : fields) {
        if (field.need == Need::required && !map.has(field.key)) checker.missing(field.key);
    }
}

/// Calls `read(item)` for each item of a list.
template <class F>
void read_list(const Value& list, F read) {
    if (!list.expect(YamlNode::Kind::sequence, "a list")) return;
    for (std::size_t i = 0; i < list.node().items.size(); ++i) read(list.item(i));
}

/// A list, or one value in its place.
template <class F>
void read_one_or_list(const Value& value, F read) {
    if (!value.is(YamlNode::Kind::sequence)) return read(value);
    if (value.node().items.empty()) return value.error("an empty list matches nothing: leave the key out to match all");
    read_list(value, read);
}

/// Stores what `parse` makes of the text; else its error. `wanted` is for a value that is no text at all.
template <class T, class Out>
bool read_parsed(const Value& value, Parsed<T> (*parse)(std::string_view), std::string_view wanted, Out& out) {
    const std::string* text = value.scalar(wanted);
    if (text == nullptr) return false;
    Parsed<T> parsed = parse(*text);
    if (!parsed.value) {
        value.error(std::move(parsed.error));
        return false;
    }
    out = *std::move(parsed.value);
    return true;
}

template <class U>
void read_number(const Value& value, U& out, std::uint64_t min, std::uint64_t max) {
    const std::string* text = value.scalar("a number");
    if (text == nullptr) return;
    const Parsed<std::uint64_t> parsed = parse_number(*text, min, max);
    if (!parsed.value) return value.error(parsed.error);
    out = static_cast<U>(*parsed.value);
}

inline void read_bool(const Value& value, bool& out) {
    read_parsed(value, parse_bool, "true or false", out);
}
inline void read_duration(const Value& value, seconds& out) {
    read_parsed(value, parse_duration, "a duration", out);
}

/// Free text of at most `longest` bytes without control characters.
void read_text(const Value& value, std::string& out, std::size_t longest);

/// Says what words there are.
void report_unknown_word(const Value& value, std::string_view word, std::span<const std::string_view> words);

template <class E, std::size_t N>
void read_enum(const Value& value, const std::array<EnumName<E>, N>& names, E& out) {
    const std::string* text = value.scalar("a word");
    if (text == nullptr) return;
    std::vector<std::string_view> words;
    for (const EnumName<E>& name : names) {
        if (name.name == *text) {
            out = name.value;
            return;
        }
        words.push_back(name.name);
    }
    report_unknown_word(value, *text, words);
}

/// The word of the list that was probably meant; empty when none is near.
std::string_view nearest_word(std::string_view word, std::span<const std::string_view> words);

}  // namespace sluice::config

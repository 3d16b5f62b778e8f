#include "control/config/reader.hh"

#include <algorithm>
#include <numeric>

namespace sluice::config {
namespace {

std::string_view kind_name(YamlNode::Kind kind) {
    switch (kind) {
        case YamlNode::Kind::null:
            return "nothing";
        case YamlNode::Kind::scalar:
            return "text";
        case YamlNode::Kind::sequence:
            return "a list";
        case YamlNode::Kind::map:
            return "a map";
    }
    return "";
}

/// Edits (insert, erase, replace, swap of neighbours) that turn a into b: the typing mistakes that people make.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before_last(b.size() + 1);
    std::vector<std::size_t> last(b.size() + 1);
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(last.begin(), last.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t cost = a[i - 1] == b[j - 1] ? 0 : 1;
            row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + cost});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = std::min(row[j], before_last[j - 2] + 1);
            }
        }
        before_last.swap(last);
        last.swap(row);
    }
    return last[b.size()];
}

std::string join(std::span<const std::string_view> words) {
    std::string text;
    for (const std::string_view word : words) {
        if (!text.empty()) text += ", ";
        text += word;
    }
    return text;
}

/// A key as it stands in a path.
std::string printable(std::string_view key) {
    const std::string text = in_quotes(key);
    return text.substr(1, text.size() - 2);
}

}  // namespace

void Findings::error(Position at, std::string path, std::string message) {
    ++count_;
    if (errors_.size() < kMaxErrors)
        errors_.push_back({file_, at.line, at.column, std::move(path), std::move(message)});
}

std::vector<ConfigError> Findings::take_errors() {
    std::stable_sort(errors_.begin(), errors_.end(), [](const ConfigError& a, const ConfigError& b) {
        return a.line != b.line ? a.line < b.line : a.column < b.column;
    });
    if (count_ > errors_.size()) {
        errors_.push_back({file_, 0, 0, {}, "and " + std::to_string(count_ - errors_.size()) + " more errors"});
    }
    count_ = 0;
    return std::move(errors_);
}

Position Value::at() const noexcept {
    // What is not there has no place that a reader would look at, but its key has.
    return node_->kind == YamlNode::Kind::null && node_->key_at.line != 0 ? node_->key_at : node_->at;
}

std::string Value::path(bool pattern) const {
    if (parent_ == nullptr) return {};
    std::string text = parent_->path(pattern);
    if (parent_->node_->kind == YamlNode::Kind::sequence) {
        return text.append("[").append(pattern ? "" : std::to_string(index_)).append("]");
    }
    if (!text.empty()) text += '.';
    return text.append(printable(node_->key));
}

void Value::error_at(std::string_view key, std::string message) const {
    if (const YamlNode* entry = find(key)) return child(*entry).error(std::move(message));
    error(std::move(message));
}

const YamlNode* Value::find(std::string_view key) const noexcept {
    if (node_->kind != YamlNode::Kind::map) return nullptr;
    const auto found =
        std::find_if(node_->items.begin(), node_->items.end(), [&](const YamlNode& entry) { return entry.key == key; });
    return found == node_->items.end() ? nullptr : &*found;
}

bool Value::expect(YamlNode::Kind kind, std::string_view wanted) const {
    if (node_->kind == kind) return true;
    std::string found{kind_name(node_->kind)};
    if (node_->kind == YamlNode::Kind::scalar) found.append(" ").append(in_quotes(node_->text));
    error("expected " + std::string{wanted} + ", found " + found);
    return false;
}

const std::string* Value::scalar(std::string_view wanted) const {
    return expect(YamlNode::Kind::scalar, wanted) ? &node_->text : nullptr;
}

void Value::refer(Reference::Kind kind, const std::string& name) const {
    findings_->references.push_back({kind, name, at(), path()});
}

MapChecker::MapChecker(const Value& map) : map_{map}, is_map_{map.expect(YamlNode::Kind::map, "a map")} {}

bool MapChecker::take(const YamlNode& entry) {
    const auto [seen, first] = seen_.emplace(entry.key, entry.key_at);
    const Value value = map_.child(entry);
    if (!first) {
        value.findings().error(
            entry.key_at, value.path(),
            "duplicate key " + in_quotes(entry.key) + ", first on line " + std::to_string(seen->second.line));
        return false;
    }
    if (map_.findings().notes_keys()) map_.findings().note_key(value.path(true), true);
    return true;
}

void MapChecker::unknown(const YamlNode& entry, std::span<const std::string_view> known) const {
    const Value value = map_.child(entry);
    std::string message = "unknown key " + in_quotes(entry.key);
    // A file of nothing but wrong keys costs no search beyond those that are shown.
    const bool shown = map_.findings().error_count() < Findings::kMaxErrors;
    const std::string_view near = shown ? nearest_word(entry.key, known) : std::string_view{};
    message += near.empty() ? " (known here: " + join(known) + ")" : ": did you mean " + in_quotes(near) + "?";
    value.findings().error(entry.key_at, value.path(), message);
}

void MapChecker::note(std::string_view key) const {
    if (!map_.findings().notes_keys()) return;
    const std::string path = map_.path(true);
    map_.findings().note_key(path.empty() ? std::string{key} : path + "." + std::string{key}, false);
}

void MapChecker::missing(std::string_view key) const {
    map_.error("the key " + in_quotes(key) + " is missing");
}

void read_text(const Value& value, std::string& out, std::size_t longest) {
    const std::string* text = value.scalar("text");
    if (text == nullptr) return;
    if (text->size() > longest) {
        return value.error("the text has " + std::to_string(text->size()) + " bytes: at most " +
                           std::to_string(longest) + " are possible");
    }
    for (const char c : *text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return value.error("a control character in the text");
    }
    out = *text;
}

void report_unknown_word(const Value& value, std::string_view word, std::span<const std::string_view> words) {
    const std::string_view near = nearest_word(word, words);
    value.error("unknown word " + in_quotes(word) + (near.empty() ? "" : ": did you mean " + in_quotes(near) + "?") +
                " (one of " + join(words) + ")");
}

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> words) {
    if (word.size() > 64) return {};
    std::string_view best;
    std::size_t best_distance = std::max<std::size_t>(word.size() / 3, 1) + 1;
    for (const std::string_view candidate : words) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance && distance < word.size()) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

}  // namespace sluice::config

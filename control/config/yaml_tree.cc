#include "control/config/yaml_tree.hh"

#include <exception>
#include <map>
#include <sstream>
#include <utility>

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

namespace sluice::config {
namespace {

/// Leaves yaml-cpp's parser from within an event; caught in parse_yaml, never seen outside this file.
struct Refused : std::exception {
    Refused(Position where, std::string what_is_wrong) : at{where}, message{std::move(what_is_wrong)} {}
    Position at;
    std::string message;
};

Position position_of(const YAML::Mark& mark) {
    if (mark.is_null()) return {};
    return {static_cast<unsigned>(mark.line) + 1, static_cast<unsigned>(mark.column) + 1};
}

class TreeBuilder final : public YAML::EventHandler {
public:
    [[nodiscard]] YamlNode take_root() { return std::move(root_); }

    void OnDocumentStart(const YAML::Mark& /*mark*/) override {}
    void OnDocumentEnd() override {}

    void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        if (in_bad_key()) return;
        leaf(mark, anchor, YamlNode::Kind::null, {});
    }

    void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  const std::string& value) override {
        if (in_bad_key()) return;
        refuse_tag(mark, tag);
        leaf(mark, anchor, YamlNode::Kind::scalar, value);
    }

    void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
        if (in_bad_key()) return;
        const auto found = anchors_.find(anchor);
        if (found == anchors_.end()) throw Refused{position_of(mark), "an alias inside the value that it names"};
        if (awaits_key()) {
            if (found->second.kind != YamlNode::Kind::scalar) throw Refused{position_of(mark), kBadKey};
            set_key(position_of(mark), found->second.text);
            return;
        }
        count(mark, size_of(found->second));
        if (open_.size() + depth_of(found->second) > kMaxDepth) throw Refused{position_of(mark), kTooDeep};
        YamlNode& node = place(mark);
        const Position key_at = node.key_at;
        std::string key = std::move(node.key);
        node = found->second;  // errors inside point to the text that the alias names
        node.key_at = key_at;
        node.key = std::move(key);
    }

    void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                         YAML::EmitterStyle::value /*style*/) override {
        open(mark, tag, anchor, YamlNode::Kind::sequence);
    }
    void OnSequenceEnd() override { close(); }

    void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                    YAML::EmitterStyle::value /*style*/) override {
        open(mark, tag, anchor, YamlNode::Kind::map);
    }
    void OnMapEnd() override { close(); }

private:
    static constexpr const char* kBadKey = "a key must be plain text";
    static constexpr const char* kTooDeep = "nested deeper than 32 levels";
    static_assert(kMaxDepth == 32);

    /// A list or map that is being filled. A node does not move while a child of it is open.
    struct Open {
        YamlNode* node;
        YAML::anchor_t anchor;
        bool has_key = false;
        std::string key{};
        Position key_at{};
    };

    [[nodiscard]] bool awaits_key() const {
        return !open_.empty() && open_.back().node->kind == YamlNode::Kind::map && !open_.back().has_key;
    }

    /// A list or map where a key should be is refused at its end, not at once: yaml-cpp takes a bracket that is never
    /// closed for the beginning of a key, and for such a text there are truer words (too deep, end not found).
    [[nodiscard]] bool in_bad_key() const { return bad_key_levels_ > 0; }

    void set_key(Position at, const std::string& text) {
        open_.back().has_key = true;
        open_.back().key = text;
        open_.back().key_at = at;
    }

    static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
        if (tag.empty() || tag == "?" || tag == "!") return;  // none; "!" is how yaml-cpp marks quoted text
        throw Refused{position_of(mark),
                      "a YAML tag ('" + tag + "') has no meaning here: put text that begins with '!' in quotes"};
    }

    void count(const YAML::Mark& mark, std::size_t nodes) {
        nodes_ += nodes;
        if (nodes_ > kMaxNodes) {
            throw Refused{position_of(mark), "too many values (more than " + std::to_string(kMaxNodes) + ")"};
        }
    }

    static std::size_t size_of(const YamlNode& node) {
        // Text counts too, so that aliases of one long string are bounded as well.
        std::size_t size = 1 + node.text.size() / 64 + node.key.size() / 64;
        for (const YamlNode& item : node.items) size += size_of(item);
        return size;
    }

    static std::size_t depth_of(const YamlNode& node) {
        std::size_t deepest = 0;
        for (const YamlNode& item : node.items) deepest = std::max(deepest, depth_of(item));
        return deepest + (node.items.empty() ? 0 : 1);
    }

    /// The new node in its parent, with its key.
    YamlNode& place(const YAML::Mark& mark) {
        if (open_.empty()) {
            root_ = {};
            root_.at = position_of(mark);
            return root_;
        }
        Open& parent = open_.back();
        YamlNode& node = parent.node->items.emplace_back();
        node.at = position_of(mark);
        if (parent.node->kind == YamlNode::Kind::map) {
            node.key = std::move(parent.key);
            node.key_at = parent.key_at;
            parent.has_key = false;
        }
        return node;
    }

    void leaf(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Kind kind, const std::string& text) {
        if (awaits_key()) {
            if (kind != YamlNode::Kind::scalar) throw Refused{position_of(mark), kBadKey};
            set_key(position_of(mark), text);
            if (anchor != YAML::NullAnchor) {
                YamlNode& copy = anchors_[anchor];
                copy.kind = kind;
                copy.text = text;
                copy.at = position_of(mark);
            }
            return;
        }
        count(mark, 1);
        YamlNode& node = place(mark);
        node.kind = kind;
        node.text = text;
        remember(mark, anchor, node);
    }

    void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YamlNode::Kind kind) {
        if (open_.size() + bad_key_levels_ >= kMaxDepth) throw Refused{position_of(mark), kTooDeep};
        if (in_bad_key() || awaits_key()) {
            if (bad_key_levels_++ == 0) bad_key_at_ = position_of(mark);
            return;
        }
        refuse_tag(mark, tag);
        count(mark, 1);
        YamlNode& node = place(mark);
        node.kind = kind;
        open_.push_back({&node, anchor});
    }

    void close() {
        if (in_bad_key()) {
            if (--bad_key_levels_ == 0) throw Refused{bad_key_at_, kBadKey};
            return;
        }
        const Open done = std::move(open_.back());
        open_.pop_back();
        remember({}, done.anchor, *done.node);
    }

    void remember(const YAML::Mark& mark, YAML::anchor_t anchor, const YamlNode& node) {
        if (anchor == YAML::NullAnchor) return;
        count(mark, size_of(node));
        anchors_[anchor] = node;
    }

    YamlNode root_;
    std::vector<Open> open_;
    std::map<YAML::anchor_t, YamlNode> anchors_;
    std::size_t nodes_ = 0;
    std::size_t bad_key_levels_ = 0;  ///< of the list or map where a key should be, open now
    Position bad_key_at_;
};

/// The bytes of the UTF-8 character that the text begins with; 0 when it is none (cut short, overlong, a surrogate).
std::size_t utf8_length(std::string_view text) {
    const auto byte = [&](std::size_t i) -> unsigned { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xc2 ? 0
                               : first < 0xe0 ? 2
                               : first < 0xf0 ? 3
                               : first < 0xf5 ? 4
                                              : 0;
    if (length == 0 || text.size() < length) return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0) != 0x80) return 0;
    }
    if (length < 3) return length;
    const unsigned second = byte(1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool beyond = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
    return overlong || beyond ? 0 : length;
}

/// Control characters: yaml-cpp takes some of them for the end of the text, which would cut a file short in silence.
/// What is not UTF-8 it would replace, in silence too.
std::optional<YamlResult> refuse_bad_characters(std::string_view text) {
    Position at{1, 1};
    while (!text.empty()) {
        const auto byte = static_cast<unsigned char>(text.front());
        if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7f) {
            return YamlResult{{}, at, "a control character (byte " + std::to_string(byte) + ") in the text"};
        }
        const std::size_t length = utf8_length(text);
        if (length == 0) return YamlResult{{}, at, "the text is not UTF-8"};
        text.remove_prefix(length);
        at = byte == '\n' ? Position{at.line + 1, 1} : Position{at.line, at.column + 1};
    }
    return std::nullopt;
}

}  // namespace

YamlResult parse_yaml(std::string_view text) {
    if (text.size() > kMaxTextBytes) {
        return {{}, {1, 1}, "the text is longer than " + std::to_string(kMaxTextBytes >> 20) + " MiB"};
    }
    if (auto refused = refuse_bad_characters(text)) return *std::move(refused);
    try {
        std::istringstream stream{std::string{text}};
        YAML::Parser parser{stream};
        TreeBuilder builder;
        const bool any = parser.HandleNextDocument(builder);
        YamlResult result;
        result.root = builder.take_root();
        if (!any) result.root->at = {1, 1};
        TreeBuilder second;
        if (any && parser.HandleNextDocument(second)) {
            return {{}, second.take_root().at, "a second YAML document: only one is expected"};
        }
        return result;
    } catch (const Refused& refused) {
        return {{}, refused.at, refused.message};
    } catch (const YAML::Exception& error) {
        return {{}, position_of(error.mark), "not valid YAML: " + error.msg};
    } catch (const std::exception& error) {
        return {{}, {1, 1}, std::string{"not valid YAML: "} + error.what()};
    }
}

}  // namespace sluice::config

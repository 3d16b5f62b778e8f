#include "tools/sluicectl/conntrack_options.hh"

#include <algorithm>
#include <array>
#include <cstdio>
#include <optional>
#include <set>
#include <string_view>

#include <spdlog/fmt/fmt.h>

#include "control/api/protocols.hh"
#include "dataplane/base/types.hh"
#include "tools/sluicectl/conntrack_addresses.hh"
#include "tools/sluicectl/conntrack_scanner.hh"

namespace sluice::ctl {
namespace {

using Command = ConntrackCommand;
using Option = ConntrackOption;
using Verb = ConntrackVerb;

std::string upper(std::string text) {
    for (char& c : text)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return text;
}

/// What conntrack(8) takes `text` for: the first of its words that begins so, in any case. Throws Complaint.
template <std::size_t N>
std::string_view word_for(const std::string& text, const std::array<std::string_view, N>& words) {
    const std::string wanted = upper(text);
    const auto found = std::ranges::find_if(
        words, [&](std::string_view word) { return !wanted.empty() && upper(std::string(word)).starts_with(wanted); });
    if (found == words.end()) complain(fmt::format("Bad parameter `{}'", text));
    return *found;
}

void set_output(ConntrackOptions& options, const std::string& list) {
    // Of conntrack(8)'s words XML alone is missing, which would be the first.
    constexpr std::array<std::string_view, 8> kKnown{"extended", "timestamp", "id",   "ktimestamp",
                                                     "labels",   "userspace", "save", "json"};
    for (const auto& text : split_list(list)) {
        const std::string_view word = word_for(text, kKnown);
        if (word == "extended") {
            options.style.extended = true;
        } else if (word == "id") {
            options.style.id = true;
        } else if (word == "save") {
            options.save = true;
        } else if (word == "json") {
            options.json = true;
        } else if (word == "timestamp") {
            options.event_style.time = true;
        } else if (word == "ktimestamp") {
            options.event_style.kernel = true;
        }
        // No flow of sluice has labels; who wanted an event is said without being asked for.
    }
    options.event_style.save = options.save;
    if (options.save && (options.style.extended || options.style.id || options.json))
        throw Complaint(kFailure, "cannot combine save output with any other output type, use -o save only");
}

/// The words of -u, whole. UNSET asks for nothing, and is not among them.
std::string status_words(const std::string& list) {
    constexpr std::array<std::string_view, 10> kKnown{"SRC_NAT",    "DST_NAT",       "ASSURED",  "SEEN_REPLY",
                                                      "UNSET",      "FIXED_TIMEOUT", "EXPECTED", "OFFLOAD",
                                                      "HW_OFFLOAD", "UNREPLIED"};
    std::string joined;
    for (const auto& text : split_list(list)) {
        const std::string_view word = word_for(text, kKnown);
        if (word == "SRC_NAT" || word == "DST_NAT") {
            const auto* option = word == "SRC_NAT" ? "--src-nat" : "--dst-nat";
            std::fprintf(stderr, "WARNING: ignoring %s, use %s instead\n", std::string(word).c_str(), option);
        } else if (word != "UNSET") {
            joined.append(joined.empty() ? "" : ",").append(word);
        }
    }
    return joined;
}

/// "new,DESTROY", as words of /v1/events. The beginning of a word is enough, as in conntrack(8).
std::string event_words(const std::string& list) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kKnown{
        {{"ALL", "new,update,destroy"}, {"NEW", "new"}, {"UPDATES", "update"}, {"DESTROY", "destroy"}}};
    std::set<std::string_view> words;
    for (const auto& word : split_list(list)) {
        const auto known = std::ranges::find_if(
            kKnown, [&](const auto& k) { return !word.empty() && k.first.starts_with(upper(word)); });
        if (known == kKnown.end()) complain(fmt::format("Bad parameter `{}'", word));
        words.insert(known->second);
    }
    std::string joined;
    for (const auto word : words) joined.append(joined.empty() ? "" : ",").append(word);
    return words.contains(kKnown[0].second) ? std::string(kKnown[0].second) : joined;
}

class Reader {
public:
    ConntrackOptions read(ConntrackScanner& scanner) {
        const auto verbs = conntrack_verbs();
        const auto options = conntrack_options();
        for (int letter = scanner.next(); letter != -1; letter = scanner.next()) {
            if (const auto verb = std::ranges::find(verbs, letter, &Verb::option); verb != verbs.end()) {
                take_verb(*verb, scanner);
            } else {
                const auto option = std::ranges::find(options, letter, &Option::letter);
                if (option->argument == optional_argument) scanner.take_next_word();
                take_option(*option, scanner.value.value_or(""));
            }
        }
        check();
        return std::move(options_);
    }

private:
    void take_verb(const Verb& verb, ConntrackScanner& scanner) {
        if (verb_ != nullptr) complain("Invalid commands combination");
        if (verb.letter == 0) complain(fmt::format("sluice has no command `{}'", first_long(verb.names)));
        verb_ = &verb;
        options_.command = verb.command;
        if (verb.command == Command::help || verb.command == Command::version) return;
        scanner.take_next_word();
        if (!scanner.value) return;
        options_.table = *scanner.value;
        constexpr std::array<std::string_view, 4> kTables{"conntrack", "expect", "dying", "unconfirmed"};
        if (std::ranges::find(kTables, options_.table) == kTables.end())
            complain(fmt::format("unknown type `{}'", options_.table));
    }

    void take_option(const Option& option, std::string value) {
        switch (option.letter) {
            case opt_json:
                options_.json = true;
                return;
            case opt_socket:
                options_.socket_path = value;
                return;
            case 'o':
                set_output(options_, value);
                break;
            case opt_mask_src:
                mask_src_ = value;
                break;
            case opt_mask_dst:
                mask_dst_ = value;
                break;
            case 'p':
                if (!api::parse_protocol(value)) complain(fmt::format("`{}' unsupported protocol", value));
                break;
            case 'f':
                if (value != "ipv4" && value != "ipv6") complain(fmt::format("`{}' unsupported protocol", value));
                break;
            case 's':
            case 'd':
            case 'r':
            case 'q':
                value = read_address(value);
                break;
            case 'n':
            case 'g':
            case 'j':
                if (value != "any") value = NatAddress::read(value).text();
                break;
            case 'u':
                value = status_words(value);
                status_is_unset_ = value.empty();
                break;
            case 'e':
                std::erase_if(options_.filter, [](const auto& p) { return p.first == "events"; });
                options_.filter.emplace_back("events", event_words(value));
                break;
            case 'b':
                set_buffer(value);
                break;
            case 't':
                set_timeout(value);
                break;
            case opt_state:
                if (!api::is_state_name(value)) complain(fmt::format("unknown TCP state `{}'", value));
                break;
            default:
                break;
        }
        given_.push_back(&option);
        if (*option.parameter == '\0') return;
        // The last one counts, as in conntrack(8).
        std::erase_if(options_.filter, [&](const auto& p) { return p.first == option.parameter; });
        options_.filter.emplace_back(option.parameter, value);
    }

    /// The kernel doubles what it is asked for, and never gives less than this.
    void set_buffer(const std::string& value) {
        constexpr std::uint64_t kLeast = 2304, kMost = 64 << 20;
        const auto bytes = api::parse_number(value, UINT32_MAX);
        if (!bytes) complain(fmt::format("`{}' is not a number of bytes", value));
        options_.buffer_bytes = std::clamp<std::uint64_t>(2 * *bytes, kLeast, kMost);
    }

    void set_timeout(const std::string& value) {
        const auto seconds = api::parse_number(value, api::kLongestTimeout);
        if (!seconds)
            complain(fmt::format("`{}' is not a number of seconds from 0 to {}", value, api::kLongestTimeout));
        options_.update.set_timeout = true;
        options_.update.timeout_s = static_cast<std::uint32_t>(*seconds);
        options_.updates = true;
    }

    /// Of -U they are no filters.
    void take_update() {
        if (const auto* text = value("mark")) {
            const auto mark = api::parse_mark(*text);
            if (!mark) complain(fmt::format("`{}' is not a mark", *text));
            options_.update.set_mark = true;
            options_.update.mark = mark->first;
            options_.update.mark_mask = mark->second;
            options_.updates = true;
        }
        if (const auto* text = value("status"); text != nullptr && !text->empty()) {
            const auto bits = api::parse_status_change(*text);
            if (const auto* error = std::get_if<std::string>(&bits))
                throw Complaint(kFailure, fmt::format("Operation failed: {}", *error));
            options_.update.status = std::get<std::uint8_t>(bits);
            options_.updates = options_.updates || options_.update.status != 0;
        }
        std::erase_if(options_.filter, [](const auto& p) { return p.first == "mark" || p.first == "status"; });
    }

    [[nodiscard]] bool takes(const Option& option) const {
        char letter = verb_->letter;
        if (options_.table == "expect") {
            if (letter != 'L') return letter == 'E' && option.letter == 'o';
            letter = 'l';
        }
        return std::string_view(option.commands).find(letter) != std::string_view::npos;
    }

    [[nodiscard]] bool has(std::string_view parameter) const { return value(parameter) != nullptr; }
    [[nodiscard]] const std::string* value(std::string_view parameter) const {
        const auto found = std::ranges::find(options_.filter, parameter, &std::pair<std::string, std::string>::first);
        return found == options_.filter.end() ? nullptr : &found->second;
    }

    [[noreturn]] static void refuse(const Option& option) {
        complain(fmt::format("Illegal option `{}' with this command", first_long(option.names)));
    }

    void check() {
        check_families();
        if (has("any_nat") && (has("src_nat") || has("dst_nat")))
            complain("cannot specify `--src-nat' or `--dst-nat' with `--any-nat'");
        if (verb_ == nullptr && !given_.empty()) refuse(*std::ranges::min(given_));
        if (verb_ == nullptr || options_.command == Command::help || options_.command == Command::version) return;
        const bool kernel_only = options_.table == "dying" || options_.table == "unconfirmed";
        if (kernel_only && options_.command != Command::list)
            complain("Can't do that command with tables `dying' and `unconfirmed'");
        if (options_.table == "expect" && options_.command == Command::update)
            complain("Can't do --update on expectations");
        if (options_.command == Command::get) check_get();
        for (const Option& option : conntrack_options())
            if (std::ranges::find(given_, &option) != given_.end() && !takes(option)) refuse(option);
        if (options_.table == "expect" && (options_.command == Command::get || options_.command == Command::remove))
            complain("You need to supply the `--src' option for this command");
        apply_mask("src", "--src", mask_src_);
        apply_mask("dst", "--dst", mask_dst_);
        if (options_.command == Command::update)
            take_update();
        else if (status_is_unset_)
            throw Complaint(kFailure, "Operation failed: invalid parameters");
        auto filter = options_.filter;
        std::erase_if(filter, [](const auto& p) { return p.first == "events"; });
        const auto parsed = api::parse_flow_filter(filter);
        if (const auto* error = std::get_if<std::string>(&parsed)) complain(*error);
    }

    void check_get() const {
        if (options_.table == "expect") return;
        for (const std::string end : {"src", "dst"})
            if (const auto* text = value(end); text != nullptr && text->find('/') != std::string::npos)
                complain(fmt::format("Illegal option `--mask-{}' with this command", end));
        const auto* name = value("proto");
        if (name == nullptr) complain("You need to supply the `--protonum' option for this command");
        const bool original = has("src") && has("dst");
        if (!original && !(has("reply_src") && has("reply_dst"))) complain("you have to specify `--src' and `--dst'");
        const std::uint8_t proto = *api::parse_protocol(*name);
        if (api::has_ports(proto) &&
            !(original ? has("sport") && has("dport") : has("reply_sport") && has("reply_dport")))
            complain("you have to specify `--sport' and `--dport'");
        if (!api::is_icmp(proto)) return;
        const std::string icmp = proto == static_cast<std::uint8_t>(IpProto::icmpv6) ? "icmpv6" : "icmp";
        for (const std::string part : {"type", "code"})
            if (!has("icmp_" + part))
                complain(fmt::format("You need to supply the `--{}-{}' option for this command", icmp, part));
    }

    void apply_mask(const char* parameter, const char* option, const std::optional<std::string>& mask) {
        if (!mask) return;
        const auto found = std::ranges::find(options_.filter, parameter, &std::pair<std::string, std::string>::first);
        if (found == options_.filter.end()) complain(fmt::format("Can't use --mask-{} without {}", parameter, option));
        found->second = fmt::format("{}/{}", found->second.substr(0, found->second.find('/')), prefix_of(*mask));
    }

    void check_families() const {
        std::set<bool> v6;
        if (const auto* family = value("family")) v6.insert(*family == "ipv6");
        for (const char* parameter : {"src", "dst", "reply_src", "reply_dst"})
            if (const auto* text = value(parameter))
                if (const auto match = api::AddressMatch::parse(*text)) v6.insert(match->is_v6());
        for (const char* parameter : {"src_nat", "dst_nat", "any_nat"})
            if (const auto* text = value(parameter); text != nullptr && *text != "any")
                if (const auto match = api::AddressMatch::parse(NatAddress::read(*text).address))
                    v6.insert(match->is_v6());
        if (v6.size() > 1) complain("mismatched address family");
    }

    ConntrackOptions options_;
    const Verb* verb_ = nullptr;
    std::vector<const Option*> given_;
    std::optional<std::string> mask_src_, mask_dst_;
    bool status_is_unset_ = false;
};

}  // namespace

ConntrackOptions parse_conntrack_options(const std::vector<std::string>& words) {
    ConntrackScanner scanner(words);
    return Reader().read(scanner);
}

}  // namespace sluice::ctl

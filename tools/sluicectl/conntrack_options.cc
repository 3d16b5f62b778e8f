#include "tools/sluicectl/conntrack_options.hh"

#include <algorithm>
#include <array>
#include <bit>
#include <getopt.h>
#include <memory>
#include <optional>
#include <set>
#include <string_view>

#include <spdlog/fmt/fmt.h>

#include "control/api/protocols.hh"

namespace sluice::ctl {
namespace {

using Command = ConntrackCommand;

struct Option {
    int letter;             ///< as given to getopt; above 255: no short form
    const char* names;      ///< the first long form is said in complaints
    int argument;           ///< no_argument, required_argument, optional_argument
    const char* parameter;  ///< of /v1/flows; "" when it is none
    const char* commands;   ///< L D G F, and l for the listing of the table expect; * all
};

// Where a letter is not conntrack's own it has none there either.
enum Long : int {
    kReplyPortSrc = 256,
    kReplyPortDst,
    kSport,
    kDport,
    kIcmpType,
    kIcmpCode,
    kIcmpId,
    kState,
    kOrigZone,
    kReplyZone,
    kMaskSrc,
    kMaskDst,
    kTupleSrc,
    kTupleDst,
    kLabelAdd,
    kLabelDel,
    kJson,
    kSocket,
};

// clang-format off
constexpr auto kOptions = std::to_array<Option>({
    {'s', "-s,--src,--orig-src", required_argument, "src", "LDG"},
    {'d', "-d,--dst,--orig-dst", required_argument, "dst", "LDG"},
    {'r', "-r,--reply-src", required_argument, "reply_src", "LDG"},
    {'q', "-q,--reply-dst", required_argument, "reply_dst", "LDG"},
    {'p', "-p,--protonum,--proto", required_argument, "proto", "LDG"},
    {'t', "-t,--timeout", required_argument, "", ""},
    {'u', "-u,--status", required_argument, "status", "LD"},
    {'z', "-z,--zero", no_argument, "", ""},
    {'e', "-e,--event-mask", required_argument, "", ""},
    {kTupleSrc, "--tuple-src", required_argument, "", ""},
    {kTupleDst, "--tuple-dst", required_argument, "", ""},
    {kMaskSrc, "--mask-src", required_argument, "", "LD"},
    {kMaskDst, "--mask-dst", required_argument, "", "LD"},
    {'m', "-m,--mark", required_argument, "mark", "LD"},
    {'i', "-i,--id", required_argument, "id", "LD"},
    {'f', "-f,--family", required_argument, "family", "LDFl"},
    {'n', "-n,--src-nat", optional_argument, "src_nat", "LD"},
    {'g', "-g,--dst-nat", optional_argument, "dst_nat", "LD"},
    {'j', "-j,--any-nat", optional_argument, "any_nat", "LD"},
    {'o', "-o,--output", required_argument, "", "LDGl"},
    {'c', "-c,--secmark", required_argument, "", ""},
    {'b', "-b,--buffer-size", required_argument, "", ""},
    {'w', "-w,--zone", required_argument, "zone", "LD"},
    {kOrigZone, "--orig-zone", required_argument, "zone", "LD"},
    {kReplyZone, "--reply-zone", required_argument, "zone", "LD"},
    {'l', "-l,--label", required_argument, "", ""},
    {kLabelAdd, "--label-add", required_argument, "", ""},
    {kLabelDel, "--label-del", optional_argument, "", ""},
    {kSport, "--sport,--orig-port-src", required_argument, "sport", "LDG"},
    {kDport, "--dport,--orig-port-dst", required_argument, "dport", "LDG"},
    {kReplyPortSrc, "--reply-port-src", required_argument, "reply_sport", "LDG"},
    {kReplyPortDst, "--reply-port-dst", required_argument, "reply_dport", "LDG"},
    {kIcmpType, "--icmp-type", required_argument, "icmp_type", "LDG"},
    {kIcmpCode, "--icmp-code", required_argument, "icmp_code", "LDG"},
    {kIcmpId, "--icmp-id", required_argument, "icmp_id", "LDG"},
    {kState, "--state", required_argument, "state", "LDG"},
    {kJson, "--json", no_argument, "", "*"},
    {kSocket, "--socket", required_argument, "", "*"},
});

struct Verb {
    char letter;  ///< 0: sluice does not have it
    int option;
    const char* names;
    Command command;
};
constexpr auto kVerbs = std::to_array<Verb>({
    {'L', 'L', "-L,--dump,--list", Command::list},
    {'G', 'G', "-G,--get", Command::get},
    {'D', 'D', "-D,--delete", Command::remove},
    {'F', 'F', "-F,--flush", Command::flush},
    {'C', 'C', "-C,--count", Command::count},
    {'S', 'S', "-S,--stats", Command::stats},
    {'h', 'h', "-h,--help", Command::help},
    {'V', 'V', "-V,--version", Command::version},
    {0, 'E', "-E,--event", Command::help},
    {0, 'I', "-I,--create", Command::help},
    {0, 'A', "-A,--add", Command::help},
    {0, 'U', "-U,--update", Command::help},
    {0, 'R', "-R,--load-file", Command::help},
});
// clang-format on

[[noreturn]] void wrong(const std::string& message) {
    throw Complaint(kUsage, message);
}

std::vector<std::string> split(std::string_view list) {
    std::vector<std::string> words;
    while (true) {
        const auto comma = list.find(',');
        words.emplace_back(list.substr(0, comma));
        if (comma == std::string_view::npos) return words;
        list.remove_prefix(comma + 1);
    }
}

std::string first_long(const char* names) {
    for (const auto& name : split(names))
        if (name.starts_with("--")) return name;
    return names;
}

std::string upper(std::string text) {
    for (char& c : text)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return text;
}

/// Calls getopt_long over a copy of the words; what was found, in order.
class Scanner {
public:
    explicit Scanner(const std::vector<std::string>& words) : words_(words) {
        words_.insert(words_.begin(), "conntrack");
        for (auto& word : words_) argv_.push_back(word.data());
        argv_.push_back(nullptr);
        for (const Option& option : kOptions) add(option.names, option.letter, option.argument);
        for (const Verb& verb : kVerbs) add(verb.names, verb.option, has_table(verb.option));
        table_.push_back({});
        optind = 0;  // starts a scan afresh (glibc)
        opterr = 0;
    }

    /// The next option's letter, or -1; `value` is empty when there is none.
    int next() {
        value.reset();
        const int found = ::getopt_long(argc(), argv_.data(), short_.c_str(), table_.data(), nullptr);
        if (found == ':')
            wrong(fmt::format("option `{}' requires an argument", argv_[static_cast<std::size_t>(optind) - 1]));
        if (found == '?') wrong(fmt::format("unknown option `{}'", argv_[static_cast<std::size_t>(optind) - 1]));
        if (found == -1) return found;
        if (optarg != nullptr) value = optarg;
        return found;
    }
    /// An optional value may also be the next word, which getopt leaves alone.
    void take_next_word() {
        if (value || optind >= argc() || argv_[static_cast<std::size_t>(optind)][0] == '-') return;
        value = argv_[static_cast<std::size_t>(optind++)];
    }

    std::optional<std::string> value;

private:
    static int has_table(int letter) {
        return letter == 'h' || letter == 'V' ? no_argument : letter == 'R' ? required_argument : optional_argument;
    }
    [[nodiscard]] int argc() const { return static_cast<int>(argv_.size()) - 1; }

    void add(const char* names, int letter, int argument) {
        for (const auto& name : split(names)) {
            if (!name.starts_with("--")) continue;
            names_.push_back(std::make_unique<std::string>(name.substr(2)));
            table_.push_back({names_.back()->c_str(), argument, nullptr, letter});
        }
        if (letter > 255) return;
        short_ += static_cast<char>(letter);
        short_.append(static_cast<std::size_t>(argument), ':');  // no_argument 0, required 1, optional 2
    }

    std::vector<std::string> words_;
    std::vector<char*> argv_;
    std::vector<std::unique_ptr<std::string>> names_;
    std::vector<::option> table_;
    std::string short_ = ":";
};

void set_output(ConntrackOptions& options, const std::string& list) {
    for (const auto& word : split(list)) {
        if (word == "extended") {
            options.style.extended = true;
        } else if (word == "id") {
            options.style.id = true;
        } else if (word == "save") {
            options.save = true;
        } else if (word == "json") {
            options.json = true;
        } else if (word != "timestamp" && word != "labels" && word != "ktimestamp" && word != "userspace") {
            // Those add to a line of a listing what no flow of sluice has; timestamp is for events.
            wrong(fmt::format("Bad parameter `{}'", word));
        }
    }
    if (options.save && (options.style.extended || options.style.id || options.json))
        throw Complaint(kFailure, "cannot combine save output with any other output type, use -o save only");
}

void check_address(const std::string& text) {
    if (api::AddressMatch::parse(text)) return;
    const auto slash = text.find('/');
    if (slash != std::string::npos && api::AddressMatch::parse(text.substr(0, slash))) wrong("Invalid netmask");
    wrong(fmt::format("Invalid IP address `{}'", text.substr(0, slash)));
}

void check_status(const std::string& list) {
    bool unset_only = true;
    for (const auto& word : split(list)) {
        constexpr std::array<std::string_view, 7> kKnown{"ASSURED",  "SEEN_REPLY", "UNSET",        "UNREPLIED",
                                                         "EXPECTED", "OFFLOAD",    "FIXED_TIMEOUT"};
        const std::string status = upper(word);
        if (std::ranges::find(kKnown, status) == kKnown.end()) wrong(fmt::format("Bad parameter `{}'", word));
        unset_only = unset_only && status == "UNSET";
    }
    if (unset_only) throw Complaint(kFailure, "Operation failed: invalid parameters");
}

/// Bits of a netmask "255.255.0.0", which must be one run.
unsigned prefix_of(const std::string& mask) {
    boost::system::error_code error;
    const auto address = boost::asio::ip::make_address(mask, error);
    if (error) wrong(fmt::format("Invalid IP address `{}'", mask));
    unsigned bits = 0;
    bool ended = false;
    const auto take = [&](std::uint8_t byte) {
        const auto ones = static_cast<unsigned>(std::countl_one(byte));
        if ((ended && byte != 0) || static_cast<std::uint8_t>(byte << ones) != 0) wrong("Invalid netmask");
        bits += ones;
        ended = ended || ones < 8;
    };
    if (address.is_v4()) {
        for (const auto byte : address.to_v4().to_bytes()) take(byte);
    } else {
        for (const auto byte : address.to_v6().to_bytes()) take(byte);
    }
    return bits;
}

class Reader {
public:
    ConntrackOptions read(Scanner& scanner) {
        for (int letter = scanner.next(); letter != -1; letter = scanner.next()) {
            if (const auto* verb = std::ranges::find(kVerbs, letter, &Verb::option); verb != kVerbs.end()) {
                take_verb(*verb, scanner);
            } else {
                const auto* option = std::ranges::find(kOptions, letter, &Option::letter);
                if (option->argument == optional_argument) scanner.take_next_word();
                take_option(*option, scanner.value.value_or(""));
            }
        }
        check();
        return std::move(options_);
    }

private:
    void take_verb(const Verb& verb, Scanner& scanner) {
        if (verb_ != nullptr) wrong("Invalid commands combination");
        if (verb.letter == 0) wrong(fmt::format("sluice has no command `{}'", first_long(verb.names)));
        verb_ = &verb;
        options_.command = verb.command;
        if (verb.command == Command::help || verb.command == Command::version) return;
        scanner.take_next_word();
        if (!scanner.value) return;
        options_.table = *scanner.value;
        constexpr std::array<std::string_view, 4> kTables{"conntrack", "expect", "dying", "unconfirmed"};
        if (std::ranges::find(kTables, options_.table) == kTables.end())
            wrong(fmt::format("unknown type `{}'", options_.table));
    }

    void take_option(const Option& option, const std::string& value) {
        switch (option.letter) {
            case kJson:
                options_.json = true;
                return;
            case kSocket:
                options_.socket_path = value;
                return;
            case 'o':
                set_output(options_, value);
                break;
            case kMaskSrc:
                mask_src_ = value;
                break;
            case kMaskDst:
                mask_dst_ = value;
                break;
            case 'p':
                if (!api::parse_protocol(value)) wrong(fmt::format("`{}' unsupported protocol", value));
                break;
            case 'f':
                if (value != "ipv4" && value != "ipv6") wrong(fmt::format("`{}' unsupported protocol", value));
                break;
            case 's':
            case 'd':
            case 'r':
            case 'q':
                check_address(value);
                break;
            case 'u':
                check_status(value);
                break;
            case kState:
                if (!api::is_state_name(value)) wrong(fmt::format("unknown TCP state `{}'", value));
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

    [[nodiscard]] bool takes(const Option& option) const {
        char letter = verb_->letter;
        if (options_.table == "expect") {
            if (letter != 'L') return false;
            letter = 'l';
        }
        return std::string_view(option.commands).find(letter) != std::string_view::npos;
    }

    [[nodiscard]] bool has(std::string_view parameter) const { return value(parameter) != nullptr; }
    [[nodiscard]] const std::string* value(std::string_view parameter) const {
        const auto found = std::ranges::find(options_.filter, parameter, &std::pair<std::string, std::string>::first);
        return found == options_.filter.end() ? nullptr : &found->second;
    }

    void check() {
        if (verb_ == nullptr || options_.command == Command::help || options_.command == Command::version) return;
        const bool kernel_only = options_.table == "dying" || options_.table == "unconfirmed";
        if (kernel_only && options_.command != Command::list)
            wrong("Can't do that command with tables `dying' and `unconfirmed'");
        if (options_.command == Command::get) check_get();
        for (const Option& option : kOptions)
            if (std::ranges::find(given_, &option) != given_.end() && !takes(option))
                wrong(fmt::format("Illegal option `{}' with this command", first_long(option.names)));
        if (options_.table == "expect" && (options_.command == Command::get || options_.command == Command::remove))
            wrong("You need to supply the `--src' option for this command");
        apply_mask("src", "--src", mask_src_);
        apply_mask("dst", "--dst", mask_dst_);
        check_families();
        const auto parsed = api::parse_flow_filter(options_.filter);
        if (const auto* error = std::get_if<std::string>(&parsed)) wrong(*error);
    }

    void check_get() const {
        if (options_.table == "expect") return;
        const auto* name = value("proto");
        if (name == nullptr) wrong("You need to supply the `--protonum' option for this command");
        const bool original = has("src") && has("dst");
        if (!original && !(has("reply_src") && has("reply_dst"))) wrong("you have to specify `--src' and `--dst'");
        const std::uint8_t proto = *api::parse_protocol(*name);
        if (api::has_ports(proto) &&
            !(original ? has("sport") && has("dport") : has("reply_sport") && has("reply_dport")))
            wrong("you have to specify `--sport' and `--dport'");
        if (!api::is_icmp(proto)) return;
        if (!has("icmp_type")) wrong("You need to supply the `--icmp-type' option for this command");
        if (!has("icmp_code")) wrong("You need to supply the `--icmp-code' option for this command");
    }

    void apply_mask(const char* parameter, const char* option, const std::optional<std::string>& mask) {
        if (!mask) return;
        const auto found = std::ranges::find(options_.filter, parameter, &std::pair<std::string, std::string>::first);
        if (found == options_.filter.end()) wrong(fmt::format("Can't use --mask-{} without {}", parameter, option));
        found->second = fmt::format("{}/{}", found->second.substr(0, found->second.find('/')), prefix_of(*mask));
    }

    void check_families() const {
        std::set<bool> v6;
        if (const auto* family = value("family")) v6.insert(*family == "ipv6");
        for (const char* parameter : {"src", "dst", "reply_src", "reply_dst"})
            if (const auto* text = value(parameter))
                if (const auto match = api::AddressMatch::parse(*text)) v6.insert(match->is_v6());
        if (v6.size() > 1) wrong("mismatched address family");
    }

    ConntrackOptions options_;
    const Verb* verb_ = nullptr;
    std::vector<const Option*> given_;
    std::optional<std::string> mask_src_, mask_dst_;
};

}  // namespace

ConntrackOptions parse_conntrack_options(const std::vector<std::string>& words) {
    Scanner scanner(words);
    return Reader().read(scanner);
}

}  // namespace sluice::ctl

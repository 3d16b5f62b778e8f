#include "tools/sluicectl/conntrack_scanner.hh"

#include <array>

#include <spdlog/fmt/fmt.h>

namespace sluice::ctl {
namespace {

using Command = ConntrackCommand;

// clang-format off
constexpr auto kOptions = std::to_array<ConntrackOption>({
    {'s', "-s,--src,--orig-src", required_argument, "src", "LDGUE"},
    {'d', "-d,--dst,--orig-dst", required_argument, "dst", "LDGUE"},
    {'r', "-r,--reply-src", required_argument, "reply_src", "LDGUE"},
    {'q', "-q,--reply-dst", required_argument, "reply_dst", "LDGUE"},
    {'p', "-p,--protonum,--proto", required_argument, "proto", "LDGUE"},
    {'t', "-t,--timeout", required_argument, "", "U"},
    {'u', "-u,--status", required_argument, "status", "LDU"},
    {'z', "-z,--zero", no_argument, "", ""},
    {'e', "-e,--event-mask", required_argument, "", "E"},
    {opt_tuple_src, "--tuple-src", required_argument, "", ""},
    {opt_tuple_dst, "--tuple-dst", required_argument, "", ""},
    {opt_mask_src, "--mask-src", required_argument, "", "LDUE"},
    {opt_mask_dst, "--mask-dst", required_argument, "", "LDUE"},
    {'m', "-m,--mark", required_argument, "mark", "LDUE"},
    {'i', "-i,--id", required_argument, "id", "LDU"},
    {'f', "-f,--family", required_argument, "family", "LDFUEl"},
    {'n', "-n,--src-nat", optional_argument, "src_nat", "LDUE"},
    {'g', "-g,--dst-nat", optional_argument, "dst_nat", "LDUE"},
    {'j', "-j,--any-nat", optional_argument, "any_nat", "LDUE"},
    {'o', "-o,--output", required_argument, "", "LDGUEl"},
    {'c', "-c,--secmark", required_argument, "", ""},
    {'b', "-b,--buffer-size", required_argument, "", "E"},
    {'w', "-w,--zone", required_argument, "zone", "LDE"},
    {opt_orig_zone, "--orig-zone", required_argument, "orig_zone", "LDE"},
    {opt_reply_zone, "--reply-zone", required_argument, "reply_zone", "LDE"},
    {'l', "-l,--label", required_argument, "", ""},
    {opt_label_add, "--label-add", required_argument, "", ""},
    {opt_label_del, "--label-del", optional_argument, "", ""},
    {opt_sport, "--sport,--orig-port-src", required_argument, "sport", "LDGUE"},
    {opt_dport, "--dport,--orig-port-dst", required_argument, "dport", "LDGUE"},
    {opt_reply_port_src, "--reply-port-src", required_argument, "reply_sport", "LDGUE"},
    {opt_reply_port_dst, "--reply-port-dst", required_argument, "reply_dport", "LDGUE"},
    {opt_icmp_type, "--icmp-type,--icmpv6-type", required_argument, "icmp_type", "LDGUE"},
    {opt_icmp_code, "--icmp-code,--icmpv6-code", required_argument, "icmp_code", "LDGUE"},
    {opt_icmp_id, "--icmp-id,--icmpv6-id", required_argument, "icmp_id", "LDGUE"},
    {opt_state, "--state", required_argument, "state", "LDGE"},
    {opt_json, "--json", no_argument, "", "*"},
    {opt_socket, "--socket", required_argument, "", "*"},
});

constexpr auto kVerbs = std::to_array<ConntrackVerb>({
    {'L', 'L', "-L,--dump,--list", Command::list},
    {'G', 'G', "-G,--get", Command::get},
    {'D', 'D', "-D,--delete", Command::remove},
    {'F', 'F', "-F,--flush", Command::flush},
    {'C', 'C', "-C,--count", Command::count},
    {'S', 'S', "-S,--stats", Command::stats},
    {'h', 'h', "-h,--help", Command::help},
    {'V', 'V', "-V,--version", Command::version},
    {'E', 'E', "-E,--event", Command::events},
    {0, 'I', "-I,--create", Command::help},
    {0, 'A', "-A,--add", Command::help},
    {'U', 'U', "-U,--update", Command::update},
    {0, 'R', "-R,--load-file", Command::help},
});
// clang-format on

int has_table(int letter) {
    return letter == 'h' || letter == 'V' ? no_argument : letter == 'R' ? required_argument : optional_argument;
}

}  // namespace

std::span<const ConntrackOption> conntrack_options() {
    return kOptions;
}
std::span<const ConntrackVerb> conntrack_verbs() {
    return kVerbs;
}

std::vector<std::string> split_list(std::string_view list) {
    std::vector<std::string> words;
    while (true) {
        const auto comma = list.find(',');
        words.emplace_back(list.substr(0, comma));
        if (comma == std::string_view::npos) return words;
        list.remove_prefix(comma + 1);
    }
}

std::string first_long(const char* names) {
    for (const auto& name : split_list(names))
        if (name.starts_with("--")) return name;
    return names;
}

void complain(const std::string& message) {
    throw Complaint(kUsage, message);
}

ConntrackScanner::ConntrackScanner(const std::vector<std::string>& words) : words_(words) {
    words_.insert(words_.begin(), "conntrack");
    for (auto& word : words_) argv_.push_back(word.data());
    argv_.push_back(nullptr);
    for (const ConntrackOption& option : kOptions) add(option.names, option.letter, option.argument);
    for (const ConntrackVerb& verb : kVerbs) add(verb.names, verb.option, has_table(verb.option));
    table_.push_back({});
    optind = 0;  // starts a scan afresh (glibc)
    opterr = 0;
}

int ConntrackScanner::next() {
    value.reset();
    const int found = ::getopt_long(argc(), argv_.data(), short_.c_str(), table_.data(), nullptr);
    if (found == ':')
        complain(fmt::format("option `{}' requires an argument", argv_[static_cast<std::size_t>(optind) - 1]));
    if (found == '?') complain(fmt::format("unknown option `{}'", argv_[static_cast<std::size_t>(optind) - 1]));
    if (found == -1) return found;
    if (optarg != nullptr) value = optarg;
    return found;
}

void ConntrackScanner::take_next_word() {
    if (value || optind >= argc() || argv_[static_cast<std::size_t>(optind)][0] == '-') return;
    value = argv_[static_cast<std::size_t>(optind++)];
}

void ConntrackScanner::add(const char* names, int letter, int argument) {
    for (const auto& name : split_list(names)) {
        if (!name.starts_with("--")) continue;
        names_.push_back(std::make_unique<std::string>(name.substr(2)));
        table_.push_back({names_.back()->c_str(), argument, nullptr, letter});
    }
    if (letter > 255) return;
    short_ += static_cast<char>(letter);
    short_.append(static_cast<std::size_t>(argument), ':');  // no_argument 0, required 1, optional 2
}

}  // namespace sluice::ctl

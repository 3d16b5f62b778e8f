#include "control/api/filter_names.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cstdint>

namespace sluice::api {
namespace {

/// Behind these a name is no host.
constexpr std::string_view kNamesOfOtherThings[] = {
    "port", "portrange", "proto",   "protochain", "type",   "subtype",    "dir",    "direction",
    "on",   "ifname",    "ruleset", "rset",       "reason", "subrulenum", "action",
};

/// These leave the meaning of what follows as it is.
constexpr std::string_view kConnectives[] = {"and", "or", "not"};

constexpr std::string_view kKeywords[] = {
    "aarp",    "addr1",   "addr2",  "addr3",    "addr4",     "address1",  "address2",  "address3", "address4",
    "ah",      "arp",     "atalk",  "bcc",      "broadcast", "byte",      "carp",      "clnp",     "connectmsg",
    "csnp",    "decnet",  "dpc",    "dst",      "es-is",     "esis",      "esp",       "ether",    "fddi",
    "fisu",    "gateway", "geneve", "greater",  "hdpc",      "hfisu",     "hlssu",     "hmsu",     "hopc",
    "host",    "hsio",    "hsls",   "icmp",     "icmp6",     "icmp6code", "icmp6type", "icmpcode", "icmptype",
    "ifindex", "igmp",    "igrp",   "iih",      "ilmic",     "inbound",   "ip",        "ip6",      "ipx",
    "is-is",   "isis",    "iso",    "l1",       "l2",        "lane",      "lat",       "len",      "length",
    "less",    "link",    "llc",    "lsp",      "lssu",      "lsu",       "mask",      "metac",    "metaconnect",
    "moprc",   "mopdl",   "mpls",   "msu",      "multicast", "net",       "netbeui",   "oam",      "oamf4",
    "oamf4ec", "oamf4sc", "opc",    "outbound", "pim",       "ppp",       "pppoed",    "pppoes",   "psnp",
    "ra",      "radio",   "rarp",   "rnr",      "rulenum",   "sc",        "sca",       "sctp",     "sio",
    "slip",    "sls",     "snp",    "src",      "srnr",      "stp",       "ta",        "tcp",      "tcpflags",
    "tr",      "udp",     "vci",    "vlan",     "vpi",       "vrrp",      "wlan",
};

/// Values of bytes in headers.
constexpr std::string_view kConstants[] = {
    "tcp-fin",
    "tcp-syn",
    "tcp-rst",
    "tcp-push",
    "tcp-ack",
    "tcp-urg",
    "tcp-ece",
    "tcp-cwr",
    "icmp-echoreply",
    "icmp-unreach",
    "icmp-sourcequench",
    "icmp-redirect",
    "icmp-echo",
    "icmp-routeradvert",
    "icmp-routersolicit",
    "icmp-timxceed",
    "icmp-paramprob",
    "icmp-tstamp",
    "icmp-tstampreply",
    "icmp-ireq",
    "icmp-ireqreply",
    "icmp-maskreq",
    "icmp-maskreply",
    "icmp6-destinationunreach",
    "icmp6-packettoobig",
    "icmp6-timeexceeded",
    "icmp6-parameterproblem",
    "icmp6-echo",
    "icmp6-echoreply",
    "icmp6-multicastlistenerquery",
    "icmp6-multicastlistenerreportv1",
    "icmp6-multicastlistenerdone",
    "icmp6-routersolicit",
    "icmp6-routeradvert",
    "icmp6-neighborsolicit",
    "icmp6-neighboradvert",
    "icmp6-redirect",
    "icmp6-routerrenum",
    "icmp6-nodeinformationquery",
    "icmp6-nodeinformationresponse",
    "icmp6-ineighbordiscoverysolicit",
    "icmp6-ineighbordiscoveryadvert",
    "icmp6-multicastlistenerreportv2",
    "icmp6-homeagentdiscoveryrequest",
    "icmp6-homeagentdiscoveryreply",
    "icmp6-mobileprefixsolicit",
    "icmp6-mobileprefixadvert",
    "icmp6-certpathsolicit",
    "icmp6-certpathadvert",
    "icmp6-multicastrouteradvert",
    "icmp6-multicastroutersolicit",
    "icmp6-multicastrouterterm",
};

template <std::size_t N>
bool is_one_of(std::string_view word, const std::string_view (&words)[N]) {
    return std::ranges::find(words, word) != std::end(words);
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}
bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool is_alphanumeric(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_inside_word(char c) {
    return is_alphanumeric(c) || c == '-' || c == '_' || c == '.';
}

bool is_number(std::string_view text) {
    if (text.starts_with("0x") || text.starts_with("0X")) {
        text.remove_prefix(2);
        return !text.empty() && std::ranges::all_of(text, is_hex);
    }
    return !text.empty() && std::ranges::all_of(text, is_digit);
}

/// 10, 192.0, 192.0.2, 192.0.2.1: one to four numbers.
bool is_ip4(std::string_view text) {
    for (int part = 0; part < 4; ++part) {
        const auto dot = text.find('.');
        if (!is_number(text.substr(0, dot))) return false;
        if (dot == std::string_view::npos) return true;
        text.remove_prefix(dot + 1);
    }
    return false;
}

/// So many groups of hexadecimal digits between separators.
bool is_groups(std::string_view text, char separator, unsigned groups, std::size_t fewest, std::size_t most) {
    for (unsigned i = 1; i <= groups; ++i) {
        const auto end = text.find(separator);
        const auto group = text.substr(0, end);
        if (group.size() < fewest || group.size() > most || !std::ranges::all_of(group, is_hex)) return false;
        if (end == std::string_view::npos) return i == groups;
        text.remove_prefix(end + 1);
    }
    return false;
}

bool is_mac(std::string_view text) {
    return is_groups(text, ':', 6, 1, 2) || is_groups(text, '-', 6, 1, 2) || is_groups(text, '.', 6, 1, 2) ||
           is_groups(text, '.', 3, 4, 4) || is_groups(text, ':', 1, 12, 12);
}

bool is_ip6(std::string_view text) {
    std::array<std::uint8_t, sizeof(in6_addr)> unused;
    return ::inet_pton(AF_INET6, std::string(text).c_str(), unused.data()) == 1;
}

template <class Predicate>
std::string_view run_of(std::string_view text, Predicate belongs) {
    return text.substr(0, static_cast<std::size_t>(std::ranges::find_if_not(text, belongs) - text.begin()));
}

}  // namespace

std::optional<std::string> first_host_name(std::string_view rest) {
    bool names_hosts = true;
    while (!rest.empty()) {
        // Addresses with colons are longer than the words in them.
        const auto with_colons = run_of(rest, [](char c) { return c == ':' || is_inside_word(c); });
        if (with_colons.find(':') != std::string_view::npos && (is_mac(with_colons) || is_ip6(with_colons))) {
            rest.remove_prefix(with_colons.size());
            continue;
        }
        if (rest.front() == '\\') {  // a keyword that is meant as a name
            const auto name = run_of(
                rest.substr(1), [](char c) { return std::string_view(" !()\n\t").find(c) == std::string_view::npos; });
            if (names_hosts && !name.empty()) return std::string(name);
            rest.remove_prefix(1 + name.size());
            continue;
        }
        if (!is_alphanumeric(rest.front())) {
            rest.remove_prefix(1);
            continue;
        }
        std::string_view word = run_of(rest, is_inside_word);
        while (word.ends_with('-') || word.ends_with('_')) word.remove_suffix(1);
        rest.remove_prefix(word.size());
        if (is_ip4(word) || is_mac(word) || is_one_of(word, kConnectives)) continue;
        if (is_one_of(word, kNamesOfOtherThings)) {
            names_hosts = false;
        } else if (is_one_of(word, kKeywords) || is_one_of(word, kConstants)) {
            names_hosts = true;
        } else if (names_hosts) {
            return std::string(word);
        }
    }
    return std::nullopt;
}

std::optional<std::string> first_direction(std::string_view rest) {
    while (!rest.empty()) {
        const std::string_view word = run_of(rest, [](char c) { return c == '\\' || is_inside_word(c); });
        if (word == "inbound" || word == "outbound") return std::string(word);
        rest.remove_prefix(std::max<std::size_t>(word.size(), 1));
    }
    return std::nullopt;
}

}  // namespace sluice::api

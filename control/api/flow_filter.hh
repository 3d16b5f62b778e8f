// Which flows a listing or a deletion is about: the filter options of conntrack(8) as values, with one `matches`, and
// its way from and to the query string of /v1/flows (shared by daemon and sluicectl). No field set matches every flow.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include "control/api/flow_record.hh"

namespace sluice::api {

/// An address or a prefix; the host bits of the value given are ignored.
class AddressMatch {
public:
    /// Parses "192.0.2.1", "192.0.2.0/24", "2001:db8::/32"; nothing when it is none of these.
    static std::optional<AddressMatch> parse(std::string_view text);
    [[nodiscard]] bool matches(const IpAddress& address) const;
    [[nodiscard]] bool is_v6() const { return address_.is_v6(); }
    [[nodiscard]] std::string text() const;

private:
    IpAddress address_;
    unsigned prefix_ = 32;
};

struct FlowFilter {
    std::optional<std::uint8_t> proto;
    std::optional<bool> v6;                            ///< family: true is IPv6
    std::optional<AddressMatch> src, dst;              ///< of the original tuple
    std::optional<AddressMatch> reply_src, reply_dst;  ///< of the reply tuple
    std::optional<std::uint16_t> sport, dport;
    std::optional<std::uint16_t> reply_sport, reply_dport;
    std::optional<std::uint8_t> icmp_type, icmp_code;
    std::optional<std::uint16_t> icmp_id;
    std::optional<std::string> state;
    std::optional<bool> assured, seen_reply, expected;
    /// Source (destination) translated; with an address or port, to that. `any_nat`: one of the two is.
    struct Nat {
        bool wanted = false;
        std::optional<AddressMatch> to;
        std::optional<std::uint16_t> port;
    };
    Nat src_nat, dst_nat, any_nat;
    /// As conntrack(8) shows them: `zone` is that of both tuples, and 0 when theirs differ; the others are of one tuple
    /// when theirs differ, else 0.
    std::optional<std::uint16_t> zone, orig_zone, reply_zone;
    bool never = false;                                           ///< asks for a status that no flow of sluice has
    std::optional<std::pair<std::uint32_t, std::uint32_t>> mark;  ///< value, mask
    std::optional<FlowId> id;
    std::optional<std::uint16_t> worker;

    [[nodiscard]] bool matches(const FlowRecord& flow) const;
    [[nodiscard]] bool matches_all() const;
};

/// "5", "0x10/0xf0": value and mask; nothing when it is neither.
std::optional<std::pair<std::uint32_t, std::uint32_t>> parse_mark(std::string_view text);

/// Query parameters, decoded, in the order given.
using QueryParameters = std::vector<std::pair<std::string, std::string>>;

/// The filter, or one sentence that names the parameter at fault: "parameter 'sport': 'x' is not a port (0-65535)".
std::variant<FlowFilter, std::string> parse_flow_filter(const QueryParameters& parameters);

}  // namespace sluice::api

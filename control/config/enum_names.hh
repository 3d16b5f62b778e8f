// The words of a configuration file for the enumerations of schema.hh: one table each, for reading and for printing.
#pragma once

#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "control/config/schema.hh"
#include "dataplane/base/invalid_reason.hh"
#include "dataplane/flow/protocols.hh"

namespace sluice::config {

template <class E>
struct EnumName {
    std::string_view name;
    E value;
};

inline constexpr std::array<EnumName<IdleMode>, 2> kIdleModes{{{"spin", IdleMode::spin}, {"sleep", IdleMode::sleep}}};
inline constexpr std::array<EnumName<HugepageMode>, 2> kHugepageModes{
    {{"auto", HugepageMode::automatic}, {"off", HugepageMode::off}}};
inline constexpr std::array<EnumName<Ipv6Mode>, 3> kIpv6Modes{
    {{"auto", Ipv6Mode::automatic}, {"on", Ipv6Mode::on}, {"off", Ipv6Mode::off}}};
/// `any` has no word: the key is left out.
inline constexpr std::array<EnumName<Family>, 2> kFamilies{{{"ipv4", Family::ip4}, {"ipv6", Family::ip6}}};
inline constexpr std::array<EnumName<PortRole>, 2> kPortRoles{
    {{"inside", PortRole::inside}, {"outside", PortRole::outside}}};
inline constexpr std::array<EnumName<ConntrackProfile>, 2> kProfiles{
    {{"linux", ConntrackProfile::linux_like}, {"cgn", ConntrackProfile::cgn}}};
inline constexpr std::array<EnumName<ChainPolicy>, 2> kChainPolicies{
    {{"accept", ChainPolicy::accept}, {"drop", ChainPolicy::drop}}};
inline constexpr std::array<EnumName<FilterAction>, 3> kFilterActions{
    {{"accept", FilterAction::accept}, {"drop", FilterAction::drop}, {"reject", FilterAction::reject}}};
inline constexpr std::array<EnumName<FilterAction>, 3> kRawActions{
    {{"accept", FilterAction::accept}, {"drop", FilterAction::drop}, {"notrack", FilterAction::notrack}}};
inline constexpr std::array<EnumName<RejectWith>, 3> kRejectWith{{{"port-unreachable", RejectWith::port_unreachable},
                                                                  {"admin-prohibited", RejectWith::admin_prohibited},
                                                                  {"tcp-reset", RejectWith::tcp_reset}}};
inline constexpr std::array<EnumName<Schedule>, 3> kSchedules{
    {{"round-robin", Schedule::round_robin}, {"random", Schedule::random}, {"source-hash", Schedule::source_hash}}};
inline constexpr std::array<EnumName<ExistingFlows>, 3> kExistingFlows{
    {{"keep", ExistingFlows::keep}, {"rebind", ExistingFlows::rebind}, {"kill", ExistingFlows::kill}}};
inline constexpr std::array<EnumName<LogLevel>, 5> kLogLevels{{{"trace", LogLevel::trace},
                                                               {"debug", LogLevel::debug},
                                                               {"info", LogLevel::info},
                                                               {"warning", LogLevel::warning},
                                                               {"error", LogLevel::error}}};

/// A packet state by its member of StateMatch.
inline constexpr std::array<EnumName<bool StateMatch::*>, 5> kStates{{{"new", &StateMatch::new_flow},
                                                                      {"established", &StateMatch::established},
                                                                      {"related", &StateMatch::related},
                                                                      {"invalid", &StateMatch::invalid},
                                                                      {"untracked", &StateMatch::untracked}}};

/// What a timeout policy may set: the key there, and the timeout.
using TimeoutKey = EnumName<seconds Timeouts::*>;
inline constexpr std::array<TimeoutKey, 11> kTcpTimeouts{{{"syn_sent", &Timeouts::tcp_syn_sent},
                                                          {"syn_recv", &Timeouts::tcp_syn_recv},
                                                          {"established", &Timeouts::tcp_established},
                                                          {"fin_wait", &Timeouts::tcp_fin_wait},
                                                          {"close_wait", &Timeouts::tcp_close_wait},
                                                          {"last_ack", &Timeouts::tcp_last_ack},
                                                          {"time_wait", &Timeouts::tcp_time_wait},
                                                          {"close", &Timeouts::tcp_close},
                                                          {"syn_sent2", &Timeouts::tcp_syn_sent2},
                                                          {"max_retrans", &Timeouts::tcp_max_retrans},
                                                          {"unacknowledged", &Timeouts::tcp_unacknowledged}}};
inline constexpr std::array<TimeoutKey, 2> kUdpTimeouts{
    {{"unreplied", &Timeouts::udp}, {"replied", &Timeouts::udp_stream}}};
inline constexpr std::array<TimeoutKey, 1> kIcmpTimeouts{{{"timeout", &Timeouts::icmp}}};
inline constexpr std::array<TimeoutKey, 1> kIcmpv6Timeouts{{{"timeout", &Timeouts::icmpv6}}};
inline constexpr std::array<TimeoutKey, 8> kSctpTimeouts{{{"closed", &Timeouts::sctp_closed},
                                                          {"cookie_wait", &Timeouts::sctp_cookie_wait},
                                                          {"cookie_echoed", &Timeouts::sctp_cookie_echoed},
                                                          {"established", &Timeouts::sctp_established},
                                                          {"shutdown_sent", &Timeouts::sctp_shutdown_sent},
                                                          {"shutdown_recd", &Timeouts::sctp_shutdown_recd},
                                                          {"shutdown_ack_sent", &Timeouts::sctp_shutdown_ack_sent},
                                                          {"heartbeat_sent", &Timeouts::sctp_heartbeat_sent}}};
inline constexpr std::array<TimeoutKey, 2> kGreTimeouts{
    {{"unreplied", &Timeouts::gre}, {"replied", &Timeouts::gre_stream}}};
inline constexpr std::array<TimeoutKey, 2> kUdpLiteTimeouts{
    {{"unreplied", &Timeouts::udplite}, {"replied", &Timeouts::udplite_stream}}};
inline constexpr std::array<TimeoutKey, 1> kEspTimeouts{{{"timeout", &Timeouts::esp}}};
inline constexpr std::array<TimeoutKey, 1> kGenericTimeouts{{{"timeout", &Timeouts::generic}}};

/// A kind without a line here does not compile: a new tracker says what a policy may set.
constexpr std::span<const TimeoutKey> timeout_keys(std::uint8_t proto) noexcept {
    switch (l4_kind(proto, proto == static_cast<std::uint8_t>(IpProto::icmpv6))) {
        case L4Kind::tcp:
            return kTcpTimeouts;
        case L4Kind::udp:
            return kUdpTimeouts;
        case L4Kind::icmp:
            return kIcmpTimeouts;
        case L4Kind::icmpv6:
            return kIcmpv6Timeouts;
        case L4Kind::sctp:
            return kSctpTimeouts;
        case L4Kind::gre:
            return kGreTimeouts;
        case L4Kind::udplite:
            return kUdpLiteTimeouts;
        case L4Kind::esp:
            return kEspTimeouts;
        case L4Kind::generic:
            break;
    }
    return kGenericTimeouts;
}

template <class E, std::size_t N>
constexpr std::string_view name_of(const std::array<EnumName<E>, N>& names, E value) noexcept {
    for (const EnumName<E>& name : names) {
        if (name.value == value) return name.name;
    }
    return {};
}

/// The names of the reasons in a set of FilterRule::invalid_reasons.
inline std::vector<std::string_view> invalid_reason_names(std::uint32_t reasons) {
    std::vector<std::string_view> names;
    for (std::size_t i = 0; i < kInvalidReasonCount; ++i)
        if ((reasons >> i & 1) != 0) names.push_back(kInvalidReasonNames[i]);
    return names;
}

}  // namespace sluice::config

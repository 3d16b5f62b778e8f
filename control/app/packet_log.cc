#include "control/app/packet_log.hh"

#include <array>

#include <spdlog/spdlog.h>

#include "control/api/conntrack_format.hh"
#include "control/linux/kernel.hh"

namespace sluice::app {

namespace {

std::string port_name(std::uint32_t index, const config::Config& config) {
    return index < config.ports.size() ? config.ports[index].name : std::string();
}

/// Linux writes IPv6 addresses here with all their digits.
std::string log_text(const IpAddress& address) {
    if (address.is_v4()) return to_string(address);
    std::array<std::uint8_t, 16> bytes{};
    address.to_bytes(bytes.data());
    return api::full_text(bytes);
}

/// SRC=, DST=, PROTO= and ports; `length` between them where it is known.
std::string tuple_text(const FlowKey& key, const std::string& length = {}) {
    std::string text = "SRC=" + log_text(key.src()) + " DST=" + log_text(key.dst()) + length;
    switch (static_cast<IpProto>(key.proto)) {
        case IpProto::tcp:
        case IpProto::udp:
            text += static_cast<IpProto>(key.proto) == IpProto::tcp ? " PROTO=TCP" : " PROTO=UDP";
            text += " SPT=" + std::to_string(key.sport.host()) + " DPT=" + std::to_string(key.dport.host());
            break;
        case IpProto::icmp:
        case IpProto::icmpv6:
            if (key.shape() != TupleShape::query) {
                text += " PROTO=" + std::to_string(key.proto);
                break;
            }
            text += key.is_v6() ? " PROTO=ICMPv6" : " PROTO=ICMP";
            text += " TYPE=" + std::to_string(key.icmp_type()) + " CODE=" + std::to_string(key.icmp_code());
            if (icmp_inverse(key.icmp_type(), key.is_v6())) text += " ID=" + std::to_string(key.sport.host());
            break;
        default:
            text += " PROTO=" + std::to_string(key.proto);
            break;
    }
    return text;
}

/// True when a line may be written now; says first how many were not.
bool admit(logging::RateLimit& limit, std::string_view what, std::chrono::steady_clock::time_point now) {
    const auto kept_back = limit.admit(now);
    if (!kept_back) return false;
    if (*kept_back != 0) spdlog::warn("sluice: {}: {} messages suppressed", what, *kept_back);
    return true;
}

}  // namespace

std::string log_line(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config) {
    const std::uint32_t detail = notice.detail;
    std::string line(prefixes.text(static_cast<std::uint8_t>(detail >> 8 & 0xff)));
    if (!line.empty() && line.back() != ' ') line += ' ';
    return line + "IN=" + port_name(detail >> 16 & 0xff, config) + " OUT=" + port_name(detail >> 24, config) + ' ' +
           tuple_text(notice.key, " LEN=" + std::to_string(notice.deadline_ms));
}

void PacketLog::write(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config,
                      std::chrono::steady_clock::time_point now) {
    switch (static_cast<LogEvent>(notice.detail & 0xff)) {
        case LogEvent::rule:
            if (admit(rules_, "log rules", now)) spdlog::info("{}", log_line(notice, prefixes, config));
            break;
        case LogEvent::pool_exhausted:
            if (admit(pool_exhausted_, "nat", now))
                spdlog::warn("sluice: nat: no free address and port, dropping packet {}", tuple_text(notice.key));
            break;
    }
}

}  // namespace sluice::app

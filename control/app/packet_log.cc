#include "control/app/packet_log.hh"

#include <spdlog/spdlog.h>

#include "control/linux/kernel.hh"

namespace sluice::app {

namespace {

std::string port_name(std::uint32_t index, const config::Config& config) {
    return index < config.ports.size() ? config.ports[index].name : std::string();
}

}  // namespace

std::string log_line(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config) {
    const std::uint32_t detail = notice.detail;
    const FlowKey& key = notice.key;
    std::string line(prefixes.text(static_cast<std::uint8_t>(detail >> 8 & 0xff)));
    if (!line.empty() && line.back() != ' ') line += ' ';
    line += "IN=" + port_name(detail >> 16 & 0xff, config) + " OUT=" + port_name(detail >> 24, config) +
            " SRC=" + to_string(key.src) + " DST=" + to_string(key.dst) + " LEN=" + std::to_string(notice.deadline_ms);
    switch (static_cast<IpProto>(key.proto)) {
        case IpProto::tcp:
        case IpProto::udp:
            line += static_cast<IpProto>(key.proto) == IpProto::tcp ? " PROTO=TCP" : " PROTO=UDP";
            line += " SPT=" + std::to_string(key.sport.host()) + " DPT=" + std::to_string(key.dport.host());
            break;
        case IpProto::icmp:
            line += " PROTO=ICMP";
            break;
        default:
            line += " PROTO=" + std::to_string(key.proto);
            break;
    }
    return line;
}

void PacketLog::write(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config,
                      std::chrono::steady_clock::time_point now) {
    const auto kept_back = limit_.admit(now);
    if (!kept_back) return;
    if (*kept_back != 0) spdlog::warn("{} log lines of rules were kept back", *kept_back);
    switch (static_cast<LogEvent>(notice.detail & 0xff)) {
        case LogEvent::rule:
            spdlog::info("{}", log_line(notice, prefixes, config));
            break;
        case LogEvent::table_full:
            spdlog::warn("flow table full, dropping packet");
            break;
        case LogEvent::pool_exhausted:
            spdlog::warn("no free address and port in a source NAT pool");
            break;
    }
}

}  // namespace sluice::app

// How strictly TCP is tracked: part of the published policy. Names and meaning are those of Linux
// (net.netfilter.nf_conntrack_tcp_*); the values come from the configuration, which alone has defaults.
#pragma once

#include <cstdint>

namespace sluice {

struct TcpRules {
    bool loose = true;                ///< a connection that began before us is picked up at its next ACK
    bool be_liberal = false;          ///< of segments out of the window only RSTs are INVALID
    bool ignore_invalid_rst = false;  ///< not even those
    std::uint8_t max_retrans = 3;     ///< repeats of an ACK from which on Timeouts::tcp_max_retrans is a cap

    friend constexpr bool operator==(const TcpRules&, const TcpRules&) = default;
};

}  // namespace sluice

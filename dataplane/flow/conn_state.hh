// What conntrack says of a packet and of a flow, in Linux's words.
#pragma once

#include <cstdint>

namespace sluice {

/// State of a packet as rules match it (nf_conntrack's ctinfo, `ct state`). Bits, so that a rule holds a set of them.
enum class PacketState : std::uint8_t {
    none = 0,  ///< not tracked yet
    new_flow = 1,
    established = 2,
    related = 4,
    invalid = 8,
    untracked = 16,
};

/// Flow status bits (IPS_* of the kernel's nf_conntrack_common.h).
namespace status {
inline constexpr std::uint8_t kSeenReply = 1;  ///< clear = [UNREPLIED]
inline constexpr std::uint8_t kAssured = 2;    ///< not evicted early
inline constexpr std::uint8_t kExpected = 4;   ///< fulfilled an expectation
inline constexpr std::uint8_t kSourceNat = 8;
inline constexpr std::uint8_t kDestNat = 16;
inline constexpr std::uint8_t kHelper = 32;     ///< a helper inspects its payload
inline constexpr std::uint8_t kSeqAdjust = 64;  ///< TCP sequence numbers are shifted
inline constexpr std::uint8_t kLocal = 128;     ///< one end is the box itself
}  // namespace status

}  // namespace sluice

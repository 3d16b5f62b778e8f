// Why conntrack calls a packet INVALID: the one list. A new reason is one line here: what rules match by name
// (`invalid:`), the metric's label and its help follow from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

// X(name, help)
#define SLUICE_INVALID_REASONS(X)                                                          \
    X(tcp_flags, "TCP flags that no stack sends together")                                 \
    X(tcp_state, "TCP segment that cannot come in the state of its connection")            \
    X(tcp_no_connection, "TCP segment that may not open a connection")                     \
    X(tcp_sequence, "TCP segment beyond the window of its receiver")                       \
    X(tcp_ack, "TCP acknowledgement of data that was never sent")                          \
    X(tcp_reset, "TCP RST before the window, which its receiver would not believe")        \
    X(icmp_no_request, "ICMP answer that nobody asked for, or a message that is no query") \
    X(icmp_type, "ICMP type that does not exist")                                          \
    X(icmp_unrelated, "ICMP error about a packet of no known flow")

enum class InvalidReason : std::uint8_t {
#define X(name, help) name,
    SLUICE_INVALID_REASONS(X)
#undef X
};

inline constexpr auto kInvalidReasonNames = std::to_array<std::string_view>({
#define X(name, help) #name,
    SLUICE_INVALID_REASONS(X)
#undef X
});
inline constexpr auto kInvalidReasonHelp = std::to_array<std::string_view>({
#define X(name, help) help,
    SLUICE_INVALID_REASONS(X)
#undef X
});
inline constexpr std::size_t kInvalidReasonCount = kInvalidReasonNames.size();
static_assert(kInvalidReasonCount <= 32, "rules hold a set of them in 32 bits");

}  // namespace sluice

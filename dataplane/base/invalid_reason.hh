// Why conntrack calls a packet INVALID: the one list. A new reason is one line here: what rules match by name
// (`invalid:`), the metric's label and its help follow from it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

// X(name, help)
#define SLUICE_INVALID_REASONS(X)                                                              \
    X(tcp_flags, "TCP flags that no stack sends together")                                     \
    X(tcp_state, "TCP segment that cannot come in the state of its connection")                \
    X(tcp_no_connection, "TCP segment that may not open a connection")                         \
    X(tcp_sequence, "TCP segment beyond the window of its receiver")                           \
    X(tcp_ack, "TCP acknowledgement of data that was never sent")                              \
    X(tcp_reset, "TCP RST before the window, which its receiver would not believe")            \
    X(icmp_no_request, "ICMP answer that nobody asked for, or a message that is no query")     \
    X(icmp_type, "ICMP type that does not exist")                                              \
    X(icmp_family, "ICMP in an IPv6 packet, or ICMPv6 in an IPv4 one")                         \
    X(icmp_unrelated, "ICMP error about a packet of no known flow")                            \
    X(sctp_checksum, "SCTP CRC32c is wrong")                                                   \
    X(sctp_chunks, "SCTP packet without a chunk, or with chunks that may not travel together") \
    X(sctp_no_association, "SCTP packet that may not open an association")                     \
    X(sctp_state, "SCTP chunk that cannot come in the state of its association")               \
    X(sctp_tag, "SCTP packet with the verification tag of another association")                \
    X(gre_protocol, "GRE version 1 that carries something else than PPP")                      \
    X(no_next_header, "IPv6 packet that says that nothing follows its header")                 \
    X(esp_spi, "ESP with an SPI that is reserved (0 to 255)")                                  \
    X(udplite_coverage, "UDP-Lite checksum coverage below 8 or beyond the packet")             \
    X(udplite_checksum, "UDP-Lite checksum is wrong, or there is none")

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

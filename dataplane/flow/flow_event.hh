// What happens to a flow, as Linux's conntrack tells it (nf_conntrack_ecache.c): a worker writes such records into a
// ring of its own while control listens, for `conntrack -E`. Several changes by one packet are one event.
//
// Plain values; a record names nothing in the worker's tables.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dataplane/base/clock.hh"
#include "dataplane/flow/listing.hh"

namespace sluice {

/// What of the flow has changed (IPCT_* of the kernel, which knows more of them, and raises none when a helper shifts
/// TCP's numbers). Bits.
namespace changed {
inline constexpr std::uint8_t kReply = 1;    ///< the first answer came
inline constexpr std::uint8_t kAssured = 2;  ///< it became ASSURED
inline constexpr std::uint8_t kState = 4;    ///< of TCP or SCTP
inline constexpr std::uint8_t kHelper = 8;   ///< a helper inspects it
inline constexpr std::uint8_t kMark = 16;    ///< its mark
inline constexpr std::uint8_t kAll = 31;
}  // namespace changed

enum class FlowEventKind : std::uint8_t { created, updated, destroyed };

struct FlowEvent {
    FlowCopy flow{};  ///< right after the event; of a flow that has ended, as it was then
    TimeMs at_ms = 0;
    std::uint32_t by = 0;  ///< process that asked for it; 0: nobody did
    FlowEventKind kind{};
    std::uint8_t changes = 0;  ///< changed:: bits; of an update
};
static_assert(std::is_trivially_copyable_v<FlowEvent> && sizeof(FlowEvent) % 4 == 0);

}  // namespace sluice

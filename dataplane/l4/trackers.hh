// The table of all trackers, by L4Kind. Whoever handles TCP, UDP and ICMP packet by packet names their classes, so that
// they are inlined; for all others, and where it is not per packet, the table is asked.
#pragma once

#include "dataplane/l4/esp.hh"
#include "dataplane/l4/generic.hh"
#include "dataplane/l4/gre.hh"
#include "dataplane/l4/icmp.hh"
#include "dataplane/l4/sctp.hh"
#include "dataplane/l4/tcp.hh"
#include "dataplane/l4/tracker.hh"
#include "dataplane/l4/udp.hh"
#include "dataplane/l4/udplite.hh"

namespace sluice {

inline constexpr auto kTrackers = std::to_array<Tracker>({
#define X(kind, type, number, name, shape) Tracker::of<l4::type>(),
    SLUICE_TRACKERS(X)
#undef X
});
static_assert(kTrackers.size() == kL4KindCount);

[[nodiscard]] constexpr const Tracker& tracker_of(L4Kind kind) noexcept {
    return kTrackers[static_cast<std::size_t>(kind)];
}

/// May a packet that belongs to no flow open one?
[[nodiscard]] inline Admission admission_of(const Packet& p, const TrackRules& rules) noexcept {
    if (p.icmp_error) return Admission::refuse(InvalidReason::icmp_unrelated);
    if (!p.trackable) return Admission::refuse(p.invalid_reason);
    return tracker_of(p.key.kind()).admit(p, rules);
}

}  // namespace sluice

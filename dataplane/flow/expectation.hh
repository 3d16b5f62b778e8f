// A connection that a helper announced (FTP data): what its first packet will look like, and how it is translated.
#pragma once

#include <cstddef>

#include "dataplane/base/clock.hh"
#include "dataplane/base/types.hh"
#include "dataplane/flow/flow_entry.hh"
#include "dataplane/flow/flow_key.hh"

namespace sluice {

/// What says whose it is and until when comes first, in a line: most of those who come to one need little more.
struct Expectation {
    FlowKey tuple{};  ///< as its first packet will arrive; sport 0 = any; src none = any (loose)
    SlotIndex master = kNoSlot;
    std::uint32_t master_generation = 0;
    std::uint8_t master_worker = 0;
    TimeMs deadline_ms = 0;
    IpAddress real_destination{};  ///< where it goes (DNAT when it differs from tuple.dst)
    Be16 real_port{};
    std::uint16_t real_zone = 0;  ///< of packets that come from there
    IpAddress source_as{};        ///< its source beyond the box, follows the master; none: its own
    std::uint32_t mark = 0;
    FlowKey master_tuple{};  ///< the master's original tuple, for listings
};
static_assert(offsetof(Expectation, real_destination) == 64);

}  // namespace sluice

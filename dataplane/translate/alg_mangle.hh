// Carries out what a helper wants changed in a payload, after the headers are rewritten.
#pragma once

#include "dataplane/base/clock.hh"
#include "dataplane/flow/packet.hh"

namespace sluice {

class AlgMangle {
public:
    Verdict apply(Packet&, Now) noexcept { return Verdict::next; }
};

}  // namespace sluice

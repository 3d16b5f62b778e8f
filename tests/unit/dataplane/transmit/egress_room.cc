#include "tests/unit/dataplane/transmit/egress_room.hh"

#include "dataplane/ingress/parse.hh"

namespace sluice::test {

bool EgressRoom::parse_on(Packet& p) {
    return parse(p, *ports, disposal) == Arrival::forward;
}

}  // namespace sluice::test

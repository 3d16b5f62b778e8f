// ARP, ND, MLD, DHCP and link-local multicast: between the wire and the twin, past conntrack. What is IPv4 passes the
// filter's input chain first; what the kernel sends leaves as it is.
//
// Owner: one worker.
#pragma once

#include "dataplane/transmit/enforce.hh"
#include "dataplane/transmit/punt.hh"
#include "dataplane/transmit/tx.hh"

namespace sluice {

class ControlTraffic {
public:
    struct Parts {
        std::uint8_t worker;
        Enforcer& enforcer;
        Punts& punts;
        TxBuffers& tx;
        Disposal& disposal;
        WorkerCounters& counters;
    };
    explicit ControlTraffic(const Parts& parts) noexcept : p_(parts) {}

    /// A packet that parse called `punt`; it is gone afterwards.
    void pass(Packet& p, const Policy& policy, Now now) noexcept;

private:
    Parts p_;
};

}  // namespace sluice

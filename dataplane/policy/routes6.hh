// IPv6 prefixes: prefix → next hop id. DPDK's rte_rib6, a compressed trie, cannot be changed while it is read, so there
// are two of them with the same content. Workers read the one, control changes the other; then they change places, and
// the former one catches up once no worker can hold it any more. Only first packets and flows whose routes have changed
// come here, so a walk down a trie, and not a table of 64 MB twice, is what that is worth. IPv4 prefixes of a zone
// (routes.hh) lie in one of their own, in their mapped form and so 96 bits longer.
//
// Life cycle: made at start, for a fixed number of prefixes. Owner: control writes; workers look up while online.
// Failure: the constructor throws; a prefix that is one too many is refused. A change that comes while the other copy
// is still read takes effect a grace period later (some milliseconds), in order.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/publication.hh"

namespace sluice {

class Routes6 {
public:
    /// `on_change` is called by control whenever workers begin to see something else. Throws std::runtime_error when
    /// memory is short. `name` is unique in the process.
    Routes6(const std::string& name, GracePeriods& grace, std::uint32_t max_routes, int socket,
            std::function<void()> on_change);
    ~Routes6();
    Routes6(const Routes6&) = delete;
    Routes6& operator=(const Routes6&) = delete;

    /// Worker: next hop id of the longest prefix that holds it, 0 for none.
    [[nodiscard]] std::uint32_t lookup(const IpAddress& destination) const noexcept;

    /// Control: adds, or points elsewhere. False: full.
    bool add(const IpAddress& prefix, std::uint8_t length, std::uint32_t hop_id);
    /// Control. What is not there is gone already.
    void remove(const IpAddress& prefix, std::uint8_t length);
    /// Control: calls `then` when workers see all changes made so far, which may be at once. Not called any more once
    /// this has gone.
    void when_seen(std::function<void()> then);

private:
    class Copies;
    std::shared_ptr<Copies> copies_;  // also of grace periods under way
};

}  // namespace sluice

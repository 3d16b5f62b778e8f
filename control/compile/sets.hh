// Sets of addresses, ports and ICMP types: each that a policy needs is there once, however many rules ask for it. A
// group named by a thousand rules is one set with a thousand references, never a thousand copies, and never rules times
// members.
//
// Life cycle: one SetInterner per compilation. Compile helper. Failure: CompileError when a policy has more sets than
// SetId can number.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "control/config/schema.hh"
#include "dataplane/policy/policy.hh"

namespace sluice::compile {

class SetInterner {
public:
    /// `groups` must outlive the interner.
    explicit SetInterner(const config::Groups& groups) noexcept : groups_(groups) {}

    SetMatch addresses(const config::AddressMatch& match);
    SetMatch ports(const config::PortMatch& match);
    /// Index into Policy::icmp_type_sets.
    std::int32_t icmp_type(std::uint8_t type);

    /// Ends the interner: the policy has the sets now.
    void give_to(Policy& policy) &&;

private:
    /// The items as written lead to the set quickly (a big group is flattened once); the ranges they stand for make
    /// sure that two ways to write the same thing share it.
    template <class Bound>
    struct Index {
        using Bounds = std::vector<std::pair<Bound, Bound>>;
        std::map<std::string, SetId> by_text;
        std::map<Bounds, SetId> by_bounds;
    };

    const config::Groups& groups_;
    Index<IpAddress> address_index_;
    Index<std::uint16_t> port_index_;
    std::vector<AddressSet> address_sets_;
    std::vector<PortSet> port_sets_;
    std::map<std::uint8_t, std::int32_t> icmp_index_;
    std::vector<std::bitset<256>> icmp_sets_;
};

}  // namespace sluice::compile

// Addresses on the command line of `sluicectl conntrack`, read as conntrack(8) reads them: what inet_aton makes of
// "10.1" is an IPv4 address, and what is wrong is said in its words. What comes back is as /v1/flows wants it.
#pragma once

#include <string>

namespace sluice::ctl {

/// Of -s, -d, -r and -q: an address or a prefix. Throws Complaint.
[[nodiscard]] std::string read_address(const std::string& text);

/// Of -n, -g and -j: an address, with a port or without; beyond conntrack(8) a prefix, or a port alone.
struct NatAddress {
    std::string address, port;  ///< empty: not given

    /// Throws Complaint.
    [[nodiscard]] static NatAddress read(const std::string& text);
    /// As a parameter of /v1/flows.
    [[nodiscard]] std::string text() const;
};

/// Bits of a netmask "255.255.0.0", which must be one run. Throws Complaint.
[[nodiscard]] unsigned prefix_of(const std::string& mask);

}  // namespace sluice::ctl

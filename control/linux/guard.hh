// The kernel must never be a way round the firewall: nft tables of our own, all named sluice_guard.
//
// - inet: what the kernel would *forward* from or to a twin is dropped, before any rule of the operator; packets of
//   twins are not tracked (sluice tracks them; the kernel's conntrack would fill up, and defragment).
// - bridge: the same for frames that a bridge would forward from or to a twin.
// - netdev: what a device that the workers read by AF_PACKET receives reaches the kernel too, and so does what comes in
//   by a queue that AF_XDP does not read; guard_ingress() drops it. (Packet sockets and XDP get theirs before the
//   ingress hook.)
//
// Life cycle: set_interfaces() replaces the inet and bridge tables in one transaction each, at start before the twins
// are up, and whenever the list changes. They *stay* when sluiced stops, because the twins stay, and a twin that is up
// with nobody reading it must not begin to forward; remove() is for the explicit teardown that deletes the twins.
// The ingress guards go with the process that reads the device: release_ingress().
// Owner: the control thread; each call is one netlink transaction (about a millisecond; more if the machine has very
// large rule sets, which libnftables reads first). Failure policy: nft's own words; a failed transaction changes
// nothing.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "control/linux/kernel.hh"

struct nft_ctx;

namespace sluice {

/// The tables in nft's language, by family; a family without a table is not in it.
using GuardState = std::map<std::string, std::string>;

class Guard {
public:
    static OrFailure<std::unique_ptr<Guard>> open();
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    /// From now on exactly these interfaces are guarded, whether they exist yet or not.
    MaybeFailure set_interfaces(std::span<const std::string> names);
    /// Deletes the tables of set_interfaces; no failure if there are none.
    MaybeFailure remove();

    /// What is in force now, ingress guards included, whoever made it: for restore().
    OrFailure<GuardState> state();
    /// Exactly that is in force again. A family whose rules cannot be had back keeps those it has.
    MaybeFailure restore(const GuardState& state);

    /// The kernel's stack gets no packet from `name`, which must exist, any more.
    MaybeFailure guard_ingress(const std::string& name);
    /// Undoes guard_ingress; no failure if there is none.
    MaybeFailure release_ingress(const std::string& name);

private:
    explicit Guard(nft_ctx* nft);
    MaybeFailure run(const std::string& commands, const std::string& what);
    std::string output() const;

    nft_ctx* nft_;
};

/// Which interfaces have to be guarded: the twins, what sits on them (macvlan, ipvlan, VLAN) and what they are members
/// of (bridge, bond, VRF), for the kernel names those as the in- or out-interface of a packet. Feed it from on_link; it
/// says when the list changed.
class GuardedLinks {
public:
    explicit GuardedLinks(std::vector<std::string> twin_names);

    /// True when names() is different now.
    bool on_link(const LinkInfo& link, bool gone);
    /// The twins in force changed (reload).
    bool set_twins(std::vector<std::string> twin_names);
    /// Sorted; twins that do not exist (yet) included.
    [[nodiscard]] const std::vector<std::string>& names() const { return names_; }

private:
    bool refresh();

    std::vector<std::string> twins_;
    std::map<IfIndex, LinkInfo> links_;
    std::vector<std::string> names_;
};

}  // namespace sluice

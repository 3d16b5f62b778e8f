// The kernel must never be a way round the firewall: nft tables of our own, named sluice_guard_ and a twin.
//
// - inet: what the kernel would *forward* from or to a twin is dropped, before any rule of the operator; packets of
//   twins are not tracked (sluice tracks them; the kernel's conntrack would fill up, and defragment).
// - bridge: the same for frames that a bridge would forward from or to a twin.
// - netdev: what a device that the workers read by AF_PACKET receives reaches the kernel too, and so does what comes in
//   by a queue that AF_XDP does not read; set_ingress() drops it. (Packet sockets and XDP get theirs before the
//   ingress hook.)
//
// Names: several sluiced may run in one network namespace, each with twins of its own, and none may touch the guard of
// another. So the tables bear the name of the instance's first twin: nobody else has it, and the next start does.
//
// Life cycle: set_interfaces() replaces the inet and bridge tables in one transaction, at start before the twins are
// up, and whenever the list changes. They *stay* when sluiced stops, because the twins stay, and a twin that is up with
// nobody reading it must not begin to forward; remove() is for the explicit teardown that deletes the twins, and
// remove_leftovers() for what an instance left whose twins are gone. The ingress guards go with the process that reads
// the devices: set_ingress({}). Whoever flushes the machine's rules takes the guard away with them: keep() writes it
// again (guard_watch.hh says when to look).
// Owner: the control thread; each call is one netlink transaction and up to four listings (a few milliseconds; more if
// the machine has very large rule sets, which libnftables reads first). Failure policy: nft's own words; a failed
// transaction changes nothing.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "control/linux/kernel.hh"

struct nft_ctx;

namespace sluice {

/// The tables in nft's language, by family; a family without a table is not in it.
using GuardState = std::map<std::string, std::string>;

class Guard {
public:
    /// The guard of the sluiced whose first twin is `first_twin`.
    static OrFailure<std::unique_ptr<Guard>> open(const std::string& first_twin);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

    /// From now on exactly these interfaces are guarded, whether they exist yet or not.
    MaybeFailure set_interfaces(std::span<const std::string> names);
    /// The kernel's stack gets no packet from exactly these devices, which must exist.
    MaybeFailure set_ingress(std::span<const std::string> devices);
    /// Deletes the tables of set_interfaces; no failure if there are none.
    MaybeFailure remove();

    /// What was set is in force as it was written, or is again: true if somebody had changed or removed it.
    OrFailure<bool> keep();
    /// Deletes the tables of other instances (and of versions with one table for all) that guard no interface that
    /// exists, but those of set_interfaces.
    MaybeFailure remove_leftovers();

    /// What is in force now, ingress guards included, whoever made it: for restore().
    OrFailure<GuardState> state();
    /// Exactly that is in force again. A family whose rules cannot be had back keeps those it has.
    MaybeFailure restore(const GuardState& state);

    [[nodiscard]] const std::string& table_name() const noexcept { return table_; }

private:
    Guard(nft_ctx* nft, std::string table);
    MaybeFailure run(const std::string& commands, const std::string& what);
    std::string output() const;
    [[nodiscard]] std::string gone(const std::string& family) const;
    [[nodiscard]] std::string forward_tables() const;
    [[nodiscard]] std::string ingress_chains() const;
    [[nodiscard]] std::string ingress_table() const;
    [[nodiscard]] std::size_t devices_there() const;
    MaybeFailure note_written();
    OrFailure<GuardState> tables_in_force(bool with_counters);

    nft_ctx* nft_;
    std::string table_;
    std::vector<std::string> interfaces_;  ///< set, and wanted to stay so
    std::vector<unsigned> devices_;        ///< the same of ingress, by ifindex
    bool forward_set_ = false;             ///< set_interfaces() has been called, and not remove()
    GuardState written_;                   ///< as nft shows it, without counters, after we wrote it
    std::size_t devices_written_ = 0;      ///< of devices_, those that existed then
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

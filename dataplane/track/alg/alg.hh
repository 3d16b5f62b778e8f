// Helpers (application layer gateways): protocols that announce further connections in their payload. A helper attaches
// to a flow when the flow is made; what its payload announces becomes expectations. This is the tracking half: the
// state of control connections, and what an announced endpoint means. translate/alg_mangle reads and rewrites the
// stream; it runs behind the filter, as Linux runs helpers, so that a packet that is dropped announces nothing.
//
// Which flows: TCP to one of the policy's ports, by the destination as the first packet had it (`ct helper` in a rule)
// or by the real one behind DNAT (how nf_conntrack_ftp registers itself). Data connections never get a helper.
//
// Whom to believe (nf_conntrack_ftp.c): the announced address must be the sender's own, as it arrives here or as its
// peer sees it. Any other is refused, unless the policy is `loose`: then the connection is expected at that address and
// the text stays as it is. Ports below 1024 are refused always. A refused command travels on unaltered and opens
// nothing.
//
// The promise: the peer is told an endpoint at key[!d].dst whose port is the announced one if it is free, else a random
// one. The expectation lives at the home of the connection to come. When that is another worker, the expectation is
// posted there before the packet leaves; only that worker knows its table, so the announced port is taken as it is and
// a clash over there costs this one data connection (counted there as expect_refused).
//
// Owner: one worker. Failure: a full pool leaves a flow tracked without helper (alg_no_state); an expectation that
// cannot be made has its packet dropped (expect_clash), as in Linux: the sender repeats it.
#pragma once

#include <span>
#include <vector>

#include "dataplane/base/clock.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/flow/packet.hh"
#include "dataplane/ingress/home.hh"
#include "dataplane/ingress/port_table.hh"
#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/policy.hh"
#include "dataplane/policy/port_choice.hh"
#include "dataplane/track/alg/ftp_parse.hh"
#include "dataplane/track/alg/ftp_state.hh"

namespace sluice {

/// What is to become of a line that announces an endpoint.
struct Announcement {
    enum class Fate : std::uint8_t {
        pass,     ///< the text stays
        rewrite,  ///< the peer is to read `address` and `port`
        refuse,   ///< the expectation could not be made: drop the packet (expect_clash)
    };
    Fate fate = Fate::pass;
    IpAddress address{};
    Be16 port{};
};

class Alg {
public:
    struct Parts {
        std::uint8_t worker;
        FlowStore& store;
        ExpectTable& expectations;
        FastRandom& random;
        const PortTable& ports;
        const HomeMap& homes;
        WorkerCounters& counters;
    };
    /// `states`: control connections that can have a helper at once. Allocates; throws std::bad_alloc (start-up only).
    Alg(const Parts& parts, std::uint32_t states);

    /// Rings to the other workers, by worker. Called once, at start; without it all homes are here.
    void connect_peers(std::vector<Ring<PeerMessage>*> peers) { peers_ = std::move(peers); }

    /// A flow was made by `p`: the helper that wants it gets state and the flow status::kHelper.
    void attach(Packet& p, const Policy& policy, Now now) noexcept;
    /// These are about to be followed: the state of those whose flows have a helper is asked for, which nothing else of
    /// a packet's way touches.
    void foresee(std::span<Packet* const> packets) const noexcept;
    /// The helper's state of a live flow with status::kHelper.
    [[nodiscard]] FtpState& state_of(SlotIndex slot) noexcept { return states_[p_.store.hot(slot).helper_state]; }
    /// The line `command`, seen for the first time in a packet of a helper's flow that is about to leave.
    [[nodiscard]] Announcement announce(const Packet& p, const Policy& policy, FtpState& state,
                                        const FtpCommand& command, Now now) noexcept;
    /// A line that was refused by its form alone is counted.
    void count_problem(FtpProblem problem) noexcept;

    /// The flow died: its state and its expectations go, here and on other workers.
    void release(SlotIndex slot) noexcept;
    /// Timers of held text, and messages that found a ring full; at most `budget` states are looked at.
    void sweep(Now now, unsigned budget) noexcept;

    [[nodiscard]] std::uint32_t free_states() const noexcept { return static_cast<std::uint32_t>(free_.size()); }

private:
    static constexpr unsigned kPortTries = 128;  // as nf_nat_helper.c

    [[nodiscard]] bool promise(const Packet& p, const Policy& policy, FtpState& state, Expectation& e, bool may_move,
                               Now now) noexcept;
    /// `likely`: the tuple with which the connection would come, with its hash; port 0: nobody knows.
    [[nodiscard]] bool is_taken(const Expectation& e, const ExpectTable::Place& place, const FlowKey& likely,
                                std::uint32_t hash, Now now) noexcept;
    /// Tells the workers that hold expectations of a dead flow; false while a ring is full.
    [[nodiscard]] bool forget_elsewhere(FtpState& state) noexcept;
    void give_back(std::uint32_t index) noexcept;

    Parts p_;
    std::vector<FtpState> states_;
    std::vector<std::uint32_t> free_;
    std::vector<Ring<PeerMessage>*> peers_;
    std::uint32_t hand_ = 0;
    std::uint32_t waiting_ = 0;  // dead states with messages that still have to be sent
};

}  // namespace sluice

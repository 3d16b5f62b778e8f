// Everything that can be counted, as plain values at one moment: the app fills a Snapshot on the control thread
// (relaxed reads of the workers' counters), the Prometheus endpoint and `/v1/stats|ports|rules|nat` read it. Nothing
// here points into the data plane, so a snapshot may outlive the policy it was taken from.
//
// Units: packets, bytes, flows and cycles are plain integers that only grow unless a comment says "now".
// Filling one must stay far below 5 ms: counters are summed, tables are never walked.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/invalid_reason.hh"
#include "dataplane/base/verdict.hh"

namespace sluice::metrics {

struct Traffic {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
};

/// A logical port, in the configuration's order.
struct Port {
    std::string name;
    std::string device;
    std::string role;        ///< "inside" or "outside"
    std::uint16_t zone = 0;  ///< conntrack zone
    std::string tap;         ///< name of its twin in the kernel
    std::string mac;
    std::vector<std::string> addresses;  ///< now, as on the twin: "192.0.2.1/24"
    bool up = false;                     ///< carrier, now
    bool twin_up = false;                ///< set up by the administrator, now
    std::uint32_t mtu = 0;
    std::uint32_t speed_mbps = 0;  ///< 0: unknown
    Traffic received;
    Traffic transmitted;
    std::uint64_t receive_missed = 0;  ///< frames the device lost because no worker fetched them in time
    std::uint64_t receive_errors = 0;
    std::uint64_t transmit_errors = 0;
};

/// A filter rule (or the policy of a chain: `number` 0, text "policy drop").
struct Rule {
    std::string chain;         ///< "input", "forward", "output"
    std::uint32_t number = 0;  ///< 1 is the first rule of its chain
    std::string text;          ///< one line, as a person would write it
    std::string comment;
    Traffic hits;
};

/// A NAT rule and, when it translates sources, the pool behind it.
struct NatRule {
    std::uint32_t number = 0;  ///< 1 is the first
    std::string kind;          ///< "masquerade", "snat", "dnat"
    std::string text;
    std::string comment;
    std::uint64_t flows_created = 0;
    std::uint64_t pool_addresses = 0;  ///< 0: not a source pool
    std::uint64_t pool_in_use = 0;     ///< flows that hold a mapping of this pool, now
    std::uint64_t pool_exhausted = 0;  ///< packets refused because no address and port was free
};

/// Live flows of one protocol in one state, now. Protocols without states have one entry with state "-".
struct FlowGroup {
    std::string proto;  ///< "tcp", "udp", "icmp", "other"
    std::string state;  ///< "ESTABLISHED", "UNREPLIED", …
    std::uint64_t flows = 0;
};

struct Worker {
    std::uint32_t number = 0;
    std::uint32_t lcore = 0;
    std::uint64_t flows = 0;          ///< now
    std::uint64_t flow_capacity = 0;  ///< slots
    std::uint64_t flows_born = 0;
    std::uint64_t flows_died = 0;
    std::uint64_t flows_evicted = 0;      ///< of the deaths: made room for a newcomer (profile linux)
    std::uint64_t flows_refused = 0;      ///< newcomers refused because the table was full
    std::uint64_t half_open = 0;          ///< now: TCP and SCTP that are not ASSURED, others that nobody answered
    std::uint64_t half_open_evicted = 0;  ///< of flows_evicted: the half-open budget was full, not the table
    std::uint64_t half_open_refused = 0;  ///< newcomers refused because the half-open budget was used up (profile cgn)
    std::uint64_t tuples_taken = 0;       ///< ports tried for a translation that another flow had
    std::uint64_t expectations = 0;       ///< now
    std::uint64_t busy_cycles = 0;        ///< TSC cycles in bursts that had packets
    std::uint64_t idle_cycles = 0;
    std::uint64_t measured_loops = 0;  ///< loops whose cycles were counted by stage (sluicectl cycles)
    std::uint64_t handoffs_sent = 0;   ///< packets given to their home worker
    std::uint64_t handoffs_received = 0;
    std::uint64_t events_told = 0;         ///< of flows, to control, while somebody listens
    std::uint64_t events_lost = 0;         ///< found the ring to control full
    std::uint64_t mailbox_overflows = 0;   ///< notices that found the ring full and were linked into their slots
    std::uint64_t held_packets = 0;        ///< waiting for whatever it may be, now
    std::uint64_t first_packet_waits = 0;  ///< packets that waited for their flow's first, which was at another worker
    std::uint64_t first_packets_lost = 0;  ///< such first packets that did not come back
    std::uint64_t fragments_held = 0;      ///< of them: fragments, now
    std::uint64_t datagrams_joined = 0;    ///< from fragments
    std::uint64_t datagrams_cut = 0;       ///< into fragments
    std::uint64_t verdict_cache_hits = 0;
    std::uint64_t verdict_cache_misses = 0;
    std::uint64_t fast_path = 0;
    std::array<std::uint64_t, kDropReasonCount> drops{};
    std::array<std::uint64_t, kInvalidReasonCount> invalid{};  ///< packets in state INVALID
};

struct PuntClass {
    std::string name;  ///< "arp_nd", "routing", "established", "new", "exception"
    std::uint64_t passed = 0;
    std::uint64_t limited = 0;
};

/// A listening socket of sluiced itself: the API or the metrics endpoint.
struct Listener {
    std::string name;               ///< "control", "metrics"
    std::uint64_t connections = 0;  ///< now
    std::uint64_t accepted = 0;
    std::uint64_t evicted = 0;    ///< idle or slow, closed to make room for a newcomer
    std::uint64_t refused = 0;    ///< newcomers told 503 because all others were being served
    std::uint64_t timed_out = 0;  ///< the client was too slow
};

struct Ftp {
    std::uint64_t commands_seen = 0;            ///< PORT, EPRT, 227 and 229 that were understood
    std::uint64_t rewrites = 0;                 ///< of them: payload changed
    std::uint64_t refused_foreign_address = 0;  ///< address that is not the sender's (bounce)
    std::uint64_t refused_privileged_port = 0;  ///< port below 1024
    std::uint64_t malformed = 0;
    std::uint64_t split_commands_joined = 0;
    std::uint64_t expectations_created = 0;
    std::uint64_t expectations_fulfilled = 0;
    std::uint64_t expectations_expired = 0;
    std::uint64_t expectations_replaced = 0;   ///< the oldest of a control connection that announced more than it may
    std::uint64_t expectations_forgotten = 0;  ///< gone with their control connection
    std::uint64_t expectations_refused = 0;    ///< never created: over the limit, or no port was free
};

/// Terms of the packet balance (BalanceCounters), all workers together. What is held, on rings or dropped is with the
/// workers.
struct Balance {
    std::uint64_t received = 0;
    std::uint64_t from_twins = 0;
    std::uint64_t generated = 0;
    std::uint64_t split = 0;
    std::uint64_t transmitted = 0;
    std::uint64_t punted = 0;
    std::uint64_t merged = 0;
};

struct Snapshot {
    std::string version;  ///< of sluiced
    std::string dpdk_version;
    double uptime_s = 0;
    std::vector<Port> ports;
    std::vector<Rule> rules;
    std::vector<NatRule> nat;
    std::vector<FlowGroup> flows;
    std::vector<Worker> workers;
    std::vector<PuntClass> punts;
    std::vector<Listener> listeners;
    std::uint64_t event_listeners = 0;           ///< who listens to events of flows, now
    std::uint64_t events_lost_by_listeners = 0;  ///< events that were not passed on, because a listener took too few
    Ftp ftp;
    Balance balance;
    Traffic from_twins;  ///< sent by the kernel through a twin
    std::uint64_t punted_packets = 0;
    std::uint64_t generated_packets = 0;  ///< RST and ICMP made by the data plane
    std::uint64_t flow_limit = 0;         ///< conntrack.max now in force
    bool flow_limit_from_memory = false;  ///< the file leaves conntrack.max to memory.megabytes
    std::uint64_t half_open_limit = 0;    ///< conntrack.half_open now in force, in flows
    std::uint64_t flow_capacity = 0;      ///< slots of all workers
    std::uint64_t policy_generation = 0;
    std::uint64_t reloads = 0;  ///< successful
    std::uint64_t reload_failures = 0;
    double last_reload_s = 0;           ///< UNIX time of the last successful load, 0: none
    std::uint64_t lateness_events = 0;  ///< flows that the ageing wheel found dead
    std::uint64_t lateness_sum_ms = 0;  ///< sum over them of (found dead − deadline)
    std::uint64_t lateness_max_ms = 0;  ///< the worst since the start
    std::uint64_t routes = 0;           ///< now
    std::uint64_t neighbours = 0;       ///< now
    std::uint64_t guard_restored = 0;   ///< times that somebody had changed or removed the guard
    std::uint64_t log_lines_lost = 0;   ///< because nobody took them in time, or at all
};

}  // namespace sluice::metrics

// The configuration as typed values: what a valid YAML file says, and nothing about how it was written. All defaults
// are here and nowhere else (the loader fills only what the file names; conf/sluice.reference.yaml is tested against
// this).
//
// Life cycle: control/config/load.hh makes one Config per load; the compiler reads it and keeps it beside the policy
// made from it. Plain values, no pointers, comparable: a reload compares old and new with ==. Any thread may read one
// that nobody writes.
// Names are kept as names (ports, groups): load.hh has proven that each exists; resolve.hh looks them up.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"

namespace sluice::config {

using std::chrono::seconds;

/// What a worker does when no packet comes: poll on, or yield the core.
enum class IdleMode : std::uint8_t { spin, sleep };

struct Workers {
    std::vector<unsigned> cores{1};  ///< lcore of each worker, in worker order
    unsigned main = 0;               ///< lcore of the control thread; never also a worker
    IdleMode idle = IdleMode::spin;

    friend bool operator==(const Workers&, const Workers&) = default;
};

/// automatic: hugepages when the machine has them, else ordinary pages. off: ordinary pages.
enum class HugepageMode : std::uint8_t { automatic, off };

struct Memory {
    HugepageMode hugepages = HugepageMode::automatic;
    std::uint32_t megabytes = 1024;  ///< for DPDK: tables, packet buffers

    friend bool operator==(const Memory&, const Memory&) = default;
};

/// Whether IPv6 is forwarded. automatic: when a port has an IPv6 address or a route leads to IPv6 (uses_ipv6).
enum class Ipv6Mode : std::uint8_t { automatic, on, off };

/// An address of the box with the prefix of its network: 192.0.2.1/24, 2001:db8::1/64.
struct InterfaceAddress {
    IpAddress address{Ip4{}};
    std::uint8_t prefix_length = 32;

    friend bool operator==(const InterfaceAddress&, const InterfaceAddress&) = default;
};

/// A logical port: a DPDK device, or a VLAN of one. Exactly one of `device` and `parent` is set.
struct Port {
    std::string name;
    std::string device;      ///< PCI address or vdev arguments; empty for a VLAN port
    std::string parent;      ///< name of the device port that carries the VLAN; empty for a device port
    std::uint16_t vlan = 0;  ///< 1–4094 for a VLAN port, else 0
    PortRole role = PortRole::inside;
    std::uint16_t zone = 0;  ///< conntrack zone: of ports of different zones each may have the same networks
    std::string tap;  ///< name of the twin in the kernel; the loader sets it to `name` when the file does not say
    std::vector<InterfaceAddress> addresses;
    std::optional<std::uint16_t> mtu;    ///< bytes of IP packet; absent: the device's (VLAN: the parent's)
    std::optional<MacAddress> mac;       ///< absent: the device's (VLAN: the parent's)
    std::uint16_t rx_queue_size = 1024;  ///< descriptors per receive queue; device ports only
    std::uint16_t tx_queue_size = 1024;  ///< descriptors per transmit queue; device ports only

    [[nodiscard]] bool is_vlan() const noexcept { return !parent.empty(); }
    friend bool operator==(const Port&, const Port&) = default;
};

/// A route that sluiced sets on the twins. At least one of `via` and `out` is set. The same `to` twice is ECMP.
struct Route {
    IpAddress network{Ip4{}};
    std::uint8_t prefix_length = 0;
    std::optional<IpAddress> via;  ///< of the same family
    std::string out;               ///< port name, or empty: the port whose network holds `via`

    friend bool operator==(const Route&, const Route&) = default;
};

/// A literal or the name of a group.
using AddressItem = std::variant<AddressRange, std::string>;
using PortItem = std::variant<PortRange, std::string>;

struct AddressGroup {
    std::string name;
    std::vector<AddressItem> items;

    friend bool operator==(const AddressGroup&, const AddressGroup&) = default;
};

struct PortGroup {
    std::string name;
    std::vector<PortItem> items;

    friend bool operator==(const PortGroup&, const PortGroup&) = default;
};

/// In the order of the file. Groups may name other groups; there are no cycles.
struct Groups {
    std::vector<AddressGroup> addresses;
    std::vector<PortGroup> ports;

    friend bool operator==(const Groups&, const Groups&) = default;
};

/// Who gives way when the table is full: a flow that is not ASSURED (linux), or the newcomer (cgn).
enum class ConntrackProfile : std::uint8_t { linux_like, cgn };

/// Idle time after which a flow is forgotten; the names and values of net.netfilter.nf_conntrack_*_timeout_*.
struct Timeouts {
    seconds tcp_syn_sent{120};
    seconds tcp_syn_recv{60};
    seconds tcp_established{432000};
    seconds tcp_fin_wait{120};
    seconds tcp_close_wait{60};
    seconds tcp_last_ack{30};
    seconds tcp_time_wait{120};
    seconds tcp_close{10};
    seconds tcp_syn_sent2{120};
    seconds tcp_max_retrans{300};     ///< cap once a segment was repeated too often
    seconds tcp_unacknowledged{300};  ///< cap while data is unacknowledged
    seconds udp{30};
    seconds udp_stream{120};
    seconds icmp{30};
    seconds icmpv6{30};
    seconds generic{600};
    seconds sctp_closed{10};
    seconds sctp_cookie_wait{3};
    seconds sctp_cookie_echoed{3};
    seconds sctp_established{210};
    seconds sctp_shutdown_sent{3};
    seconds sctp_shutdown_recd{3};
    seconds sctp_shutdown_ack_sent{3};
    seconds sctp_heartbeat_sent{30};
    seconds gre{30};
    seconds gre_stream{180};
    seconds udplite{30};
    seconds udplite_stream{120};
    seconds esp{600};

    friend bool operator==(const Timeouts&, const Timeouts&) = default;
};

/// How strictly TCP is tracked: names, meaning and values of net.netfilter.nf_conntrack_tcp_*.
struct TcpTracking {
    bool loose = true;                ///< pick up connections that began before sluiced
    bool be_liberal = false;          ///< of segments out of the window only RSTs are INVALID
    bool ignore_invalid_rst = false;  ///< an RST before the window is not INVALID
    std::uint8_t max_retrans = 3;     ///< repeats of a segment from which on timeouts.tcp_max_retrans is a cap

    friend bool operator==(const TcpTracking&, const TcpTracking&) = default;
};

/// Timeouts of their own for the flows that rules give it to (nftables' `ct timeout`). What it does not name is as in
/// Conntrack::timeouts.
struct TimeoutPolicy {
    std::string name;
    std::uint8_t proto = 0;
    struct Value {
        seconds Timeouts::*of = nullptr;
        seconds value{};

        friend bool operator==(const Value&, const Value&) = default;
    };
    std::vector<Value> values;  ///< in the order of the file

    friend bool operator==(const TimeoutPolicy&, const TimeoutPolicy&) = default;
};

inline constexpr std::uint32_t kMostFlows = 134217728;  ///< that a box may be told to hold

/// A number of flows, or a share of conntrack.max.
struct FlowBudget {
    std::uint32_t value = 50;
    bool percent = true;

    friend bool operator==(const FlowBudget&, const FlowBudget&) = default;
};

struct Conntrack {
    std::optional<std::uint32_t> max;  ///< flows, all workers together; absent: what memory.megabytes has room for
    FlowBudget half_open;              ///< of them at most so many that nobody has vouched for yet
    ConntrackProfile profile = ConntrackProfile::linux_like;
    std::uint32_t expect_max = 4096;  ///< expectations, all workers together
    bool accounting = true;           ///< listings have packets and bytes of each flow
    bool timestamps = false;          ///< listings have the age of each flow
    TcpTracking tcp;
    Timeouts timeouts;
    std::vector<TimeoutPolicy> timeout_policies;  ///< in the order of the file

    friend bool operator==(const Conntrack&, const Conntrack&) = default;
};

struct FtpHelper {
    bool enabled = true;
    std::vector<std::uint16_t> ports{21};  ///< server ports of the control connection; 1–8 of them
    bool loose = false;                    ///< accept an announced address that is not the peer's
    std::uint8_t max_expected = 1;         ///< expectations that one control connection may have waiting
    seconds expect_timeout{300};

    friend bool operator==(const FtpHelper&, const FtpHelper&) = default;
};

struct Helpers {
    FtpHelper ftp;

    friend bool operator==(const Helpers&, const Helpers&) = default;
};

/// Any of the named ports; empty: any port at all.
struct PortNameMatch {
    std::vector<std::string> names;

    [[nodiscard]] bool any() const noexcept { return names.empty(); }
    friend bool operator==(const PortNameMatch&, const PortNameMatch&) = default;
};

/// Any of the items, or none of them when negated; empty: any address at all.
struct AddressMatch {
    bool negated = false;
    std::vector<AddressItem> items;

    [[nodiscard]] bool any() const noexcept { return items.empty(); }
    friend bool operator==(const AddressMatch&, const AddressMatch&) = default;
};

/// Any of the items, or none of them when negated; empty: any port at all, and protocols without ports.
struct PortMatch {
    bool negated = false;
    std::vector<PortItem> items;

    [[nodiscard]] bool any() const noexcept { return items.empty(); }
    friend bool operator==(const PortMatch&, const PortMatch&) = default;
};

/// Which packets a rule is for, as far as the rule says so by itself (families.hh knows all that it says).
enum class Family : std::uint8_t { any, ip4, ip6 };

/// The packet states that a rule matches; none set: every state.
struct StateMatch {
    bool new_flow = false;
    bool established = false;
    bool related = false;
    bool invalid = false;
    bool untracked = false;

    [[nodiscard]] bool any() const noexcept { return !new_flow && !established && !related && !invalid && !untracked; }
    friend bool operator==(const StateMatch&, const StateMatch&) = default;
};

/// Which mark: (mark & mask) == value, or not that. Mask 0: any mark at all.
struct MarkMatch {
    bool negated = false;
    std::uint32_t value = 0;  ///< no bit outside of the mask
    std::uint32_t mask = 0;

    [[nodiscard]] bool any() const noexcept { return mask == 0; }
    friend bool operator==(const MarkMatch&, const MarkMatch&) = default;
};

/// What a rule does to a mark: the bits of the mask become those of the value, or of the other mark. Mask 0: nothing.
struct MarkSet {
    bool copy = false;        ///< from the flow's mark to the packet's, or the other way
    std::uint32_t value = 0;  ///< unless `copy`; no bit outside of the mask
    std::uint32_t mask = 0;

    [[nodiscard]] bool none() const noexcept { return mask == 0; }
    friend bool operator==(const MarkSet&, const MarkSet&) = default;
};

/// next: the rule decides nothing, the rules behind it are asked. notrack: in raw chains only.
enum class FilterAction : std::uint8_t { accept, drop, reject, next, notrack };

/// The answer of a reject: ICMP destination unreachable, code 3 or 13, or a TCP RST.
enum class RejectWith : std::uint8_t { port_unreachable, admin_prohibited, tcp_reset };

/// First match wins. A field at its default matches everything.
struct FilterRule {
    PortNameMatch in;
    PortNameMatch out;
    Family family = Family::any;
    AddressMatch src;
    AddressMatch dst;
    std::optional<std::uint8_t> proto;  ///< IP protocol number
    PortMatch sport;
    PortMatch dport;
    StateMatch state;
    std::uint32_t invalid_reasons = 0;      ///< bit per InvalidReason; 0: not asked, else only INVALID packets match
    std::optional<std::uint8_t> icmp_type;  ///< of ICMP or ICMPv6, as `proto` says
    MarkMatch mark;
    MarkMatch ct_mark;  ///< never matches a packet without a flow
    MarkSet set_mark;   ///< done before set_ct_mark
    MarkSet set_ct_mark;
    std::string set_timeout;  ///< name of the timeout policy for flows that begin with the packet; empty: none
    FilterAction action = FilterAction::accept;
    RejectWith reject_with = RejectWith::port_unreachable;  ///< read only when action is reject
    std::optional<std::string> log;                         ///< prefix of the log line; absent: no log
    std::string comment;

    friend bool operator==(const FilterRule&, const FilterRule&) = default;
};

enum class ChainPolicy : std::uint8_t { accept, drop };

struct Chain {
    ChainPolicy policy = ChainPolicy::accept;  ///< as a base chain of nftables
    std::vector<FilterRule> rules;

    friend bool operator==(const Chain&, const Chain&) = default;
};

struct Filter {
    Chain input;    ///< packets for the box
    Chain forward;  ///< packets through the box
    Chain output;   ///< packets from the box

    friend bool operator==(const Filter&, const Filter&) = default;
};

/// What is asked before tracking. What no rule matches is tracked. Rules have no state, no ct_mark and no reject.
struct Raw {
    std::vector<FilterRule> prerouting;  ///< packets that arrive
    std::vector<FilterRule> output;      ///< packets from the box

    friend bool operator==(const Raw&, const Raw&) = default;
};

/// An IPv6 prefix in place of that which the rule matches: src of a source rule, dst of a destination rule (RFC 6296).
using TranslatedPrefix = InterfaceAddress;

/// Source NAT to the address of the twin that fits the next hop (masquerade), to one of a pool, or by prefix.
struct Snat {
    bool masquerade = false;
    std::vector<AddressItem> to;     ///< of one family; empty when masquerade or by prefix
    std::optional<PortRange> ports;  ///< absent: the source port is kept when free, else any of 1024–65535
    std::optional<TranslatedPrefix> prefix{};

    friend bool operator==(const Snat&, const Snat&) = default;
};

/// How a new flow picks one of several targets; source_hash: the same client, the same target.
enum class Schedule : std::uint8_t { round_robin, random, source_hash };

struct Dnat {
    std::vector<AddressItem> to;  ///< of one family; empty when by prefix
    /// absent: the port is kept. One port: that one. A range as wide as the rule's only dport range: shifted, first to
    /// first (the loader has proven that the widths agree).
    std::optional<PortRange> ports;
    Schedule schedule = Schedule::round_robin;
    std::optional<TranslatedPrefix> prefix{};
    std::optional<std::uint16_t> zone{};  ///< in whose network the targets are; absent: where routes lead

    friend bool operator==(const Dnat&, const Dnat&) = default;
};

/// What a changed rule does to flows that were replied to.
enum class ExistingFlows : std::uint8_t { keep, rebind, kill };

/// First match wins, for the source and for the destination on their own.
struct NatRule {
    PortNameMatch in;   ///< only with dnat
    PortNameMatch out;  ///< only with snat, and then never empty
    Family family = Family::any;
    AddressMatch src;
    AddressMatch dst;
    std::optional<std::uint8_t> proto;
    PortMatch sport;
    PortMatch dport;
    MarkMatch mark;     ///< of the flow's first packet
    MarkMatch ct_mark;  ///< snat: as the filter left it; dnat: as the flow inherited it
    std::variant<Snat, Dnat> action;
    ExistingFlows existing = ExistingFlows::keep;
    std::string comment;

    [[nodiscard]] bool is_snat() const noexcept { return std::holds_alternative<Snat>(action); }
    friend bool operator==(const NatRule&, const NatRule&) = default;
};

/// A token bucket.
struct PuntLimit {
    std::uint32_t rate = 0;   ///< packets per second, all workers together
    std::uint32_t burst = 0;  ///< packets, all workers together

    friend bool operator==(const PuntLimit&, const PuntLimit&) = default;
};

/// What each class of packets for the box may cost the control thread.
struct Punt {
    PuntLimit arp_nd{2000, 500};
    PuntLimit routing{5000, 1000};
    PuntLimit established{20000, 2000};
    PuntLimit new_flow{1000, 200};
    PuntLimit exception{500, 100};

    friend bool operator==(const Punt&, const Punt&) = default;
};

/// Packets that wait for the link address of their next hop.
struct Neighbours {
    std::uint32_t hold = 16;         ///< packets per neighbour, each worker
    std::uint32_t hold_total = 512;  ///< packets for all neighbours, each worker
    seconds hold_timeout{3};         ///< a packet that waited this long is dropped

    friend bool operator==(const Neighbours&, const Neighbours&) = default;
};

/// Datagrams that come in fragments, until they are whole.
struct Fragments {
    seconds timeout{30};                   ///< from the first fragment to come
    std::uint32_t max = 2048;              ///< fragments that wait, each worker
    std::uint32_t max_datagrams = 1024;    ///< unfinished datagrams, each worker
    std::uint32_t max_per_datagram = 256;  ///< fragments of one datagram

    friend bool operator==(const Fragments&, const Fragments&) = default;
};

struct Metrics {
    std::string listen = "127.0.0.1:9140";  ///< address:port of the Prometheus endpoint; empty: none

    friend bool operator==(const Metrics&, const Metrics&) = default;
};

struct Control {
    std::string socket = "/run/sluice/control.sock";  ///< absolute path of the API's UNIX socket

    friend bool operator==(const Control&, const Control&) = default;
};

enum class LogLevel : std::uint8_t { trace, debug, info, warning, error };

struct Log {
    LogLevel level = LogLevel::info;

    friend bool operator==(const Log&, const Log&) = default;
};

struct Config {
    Workers workers;
    Memory memory;
    Ipv6Mode ipv6 = Ipv6Mode::automatic;
    std::vector<Port> ports;
    std::vector<Route> routes;
    Groups groups;
    Conntrack conntrack;
    Helpers helpers;
    Raw raw;
    Filter filter;
    std::vector<NatRule> nat;
    Punt punt;
    Neighbours neighbours;
    Fragments fragments;
    Metrics metrics;
    Control control;
    Log log;

    friend bool operator==(const Config&, const Config&) = default;
};

/// The conntrack zones of ports, each once, ascending, without zone 0.
[[nodiscard]] inline std::vector<std::uint16_t> zones_of(const Config& config) {
    std::vector<std::uint16_t> zones;
    for (const Port& port : config.ports)
        if (port.zone != 0) zones.push_back(port.zone);
    std::ranges::sort(zones);
    zones.erase(std::unique(zones.begin(), zones.end()), zones.end());
    return zones;
}

/// What `ipv6: auto` comes to.
[[nodiscard]] inline bool uses_ipv6(const Config& config) noexcept {
    if (config.ipv6 != Ipv6Mode::automatic) return config.ipv6 == Ipv6Mode::on;
    for (const Port& port : config.ports)
        for (const InterfaceAddress& own : port.addresses)
            if (!own.address.is_v4()) return true;
    for (const Route& route : config.routes)
        if (!route.network.is_v4()) return true;
    return false;
}

}  // namespace sluice::config

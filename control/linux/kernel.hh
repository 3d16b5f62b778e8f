// What the rest of the control plane knows of the Linux kernel: values that describe links, addresses, routes and
// neighbours, and the three small interfaces between the kernel and the box. Tests inject fakes of them.
//
// - KernelObserver: what the kernel says. Implemented by the control plane, called by Netlink (netlink.hh).
// - KernelRequests: what is asked of the kernel. Implemented by RtnlRequests (requests.hh).
// - TwinPort: a port's twin, through which packets for the box go in and out. Implemented by Twin (twin.hh).
//
// Everything here is called on the control thread alone, and nothing here throws: a failure is a value with a text that
// an operator understands.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "dataplane/base/ip_text.hh"
#include "dataplane/base/types.hh"

namespace sluice {

/// Why something could not be done: one line for the log, naming the thing and the kernel's reason.
struct Failure {
    std::string text;
    friend bool operator==(const Failure&, const Failure&) = default;
};

/// A value, or why there is none.
template <class T>
using OrFailure = std::variant<T, Failure>;

/// Nothing when it was done, or why not.
using MaybeFailure = std::optional<Failure>;

/// The kernel's number of a link in this network namespace; 0 is none.
using IfIndex = int;

/// An address with the length of its network's prefix: 192.0.2.1/24, 2001:db8::1/64.
struct IpPrefix {
    IpAddress address{Ip4{}};
    std::uint8_t length = 32;
    friend constexpr bool operator==(const IpPrefix&, const IpPrefix&) = default;
    friend constexpr auto operator<=>(const IpPrefix&, const IpPrefix&) = default;
};

/// A whole address as a prefix.
constexpr IpPrefix host_prefix(const IpAddress& address) noexcept {
    return {address, static_cast<std::uint8_t>(address.bits())};
}

/// "192.0.2.0/24".
std::string to_string(const IpPrefix& prefix);

/// The number by which routes (RTPROT) and addresses (IFA_PROTO) of sluice are known in the kernel: `ip route show
/// proto 200`. Whatever does not carry it was set by somebody else, and is never removed.
inline constexpr std::uint8_t kOwnProtocol = 200;

/// A network device, twin or not.
struct LinkInfo {
    IfIndex ifindex = 0;
    std::string name;
    std::string kind;          ///< "tun", "macvlan", "vlan", …; empty for hardware
    IfIndex parent_ifindex{};  ///< what a macvlan or VLAN device sits on, in this namespace
    IfIndex master_ifindex{};  ///< the bridge, bond or VRF it is a member of
    MacAddress mac{};
    std::uint32_t mtu_bytes = 0;
    bool up = false;       ///< set up by the administrator (IFF_UP)
    bool carrier = false;  ///< IFF_LOWER_UP
    friend bool operator==(const LinkInfo&, const LinkInfo&) = default;
};

/// An address of the box.
struct AddressInfo {
    IfIndex ifindex = 0;
    IpPrefix prefix{};          ///< the box's address and the length of its network
    IpAddress peer{};           ///< the network's own address; differs from prefix.address on point-to-point links
    std::uint8_t scope = 0;     ///< RT_SCOPE_*: 0 is global
    bool secondary = false;     ///< IPv4: not the first of its network. IPv6: deprecated, tentative or a duplicate
    std::uint8_t protocol = 0;  ///< IFA_PROTO; kOwnProtocol for those that sluice set
    friend bool operator==(const AddressInfo&, const AddressInfo&) = default;
};

/// Values of the kernel's RTN_*.
enum class RouteType : std::uint8_t {
    unicast = 1,
    local = 2,
    broadcast = 3,
    anycast = 4,
    multicast = 5,
    blackhole = 6,
    unreachable = 7,
    prohibit = 8,
    throw_on = 9,
};

struct RouteNextHop {
    IfIndex ifindex = 0;
    std::optional<IpAddress> gateway;  ///< absent: the destination itself is the neighbour
    std::uint16_t weight = 1;          ///< share among the next hops of the route
    bool usable = true;                ///< neither dead nor without carrier (RTNH_F_DEAD, RTNH_F_LINKDOWN)
    friend bool operator==(const RouteNextHop&, const RouteNextHop&) = default;
};

inline constexpr std::uint32_t kMainTable = 254;
inline constexpr std::uint32_t kLocalTable = 255;

/// The kernel's metric of an IPv6 route that names none.
inline constexpr std::uint32_t kDefaultMetric6 = 1024;

/// What makes a route one route. Of two that differ only in metric, the lower one counts.
struct RouteKey {
    std::uint32_t table = kMainTable;
    IpPrefix to{};
    std::uint8_t tos = 0;
    std::uint32_t metric = 0;
    /// Of what the kernel makes for an address by itself: the link, since several may have the same network. Else 0.
    IfIndex device = 0;
    friend constexpr bool operator==(const RouteKey&, const RouteKey&) = default;
    friend constexpr auto operator<=>(const RouteKey&, const RouteKey&) = default;
};

struct RouteInfo {
    RouteKey key{};
    RouteType type = RouteType::unicast;
    std::uint8_t protocol = 0;  ///< RTPROT_*
    std::optional<IpAddress> preferred_source;
    std::vector<RouteNextHop> next_hops;  ///< empty for blackhole, unreachable, prohibit, throw
    friend bool operator==(const RouteInfo&, const RouteInfo&) = default;
};

/// The kernel's NUD_* states.
enum class NeighbourState : std::uint8_t { none, incomplete, reachable, stale, delay, probe, failed, noarp, permanent };

struct NeighbourInfo {
    IfIndex ifindex = 0;
    IpAddress address{};
    MacAddress mac{};  ///< meaningful when is_valid()
    NeighbourState state = NeighbourState::none;
    bool managed = false;  ///< the kernel keeps it resolved by itself (NTF_EXT_MANAGED)
    /// Packets may be sent to `mac`.
    [[nodiscard]] constexpr bool is_valid() const noexcept {
        return state != NeighbourState::none && state != NeighbourState::incomplete && state != NeighbourState::failed;
    }
    friend bool operator==(const NeighbourInfo&, const NeighbourInfo&) = default;
};

/// What the kernel says. An addition with the key of something known replaces it; what the observer is told is always
/// a change, never a repetition. The first resync is the first dump: the kernel's whole state is known at its end.
/// A later resync (lost messages) withdraws what vanished in between, at the latest by its end.
struct KernelObserver {
    virtual ~KernelObserver() = default;
    virtual void on_link(const LinkInfo& link, bool gone) = 0;
    virtual void on_address(const AddressInfo& address, bool added) = 0;
    virtual void on_route(const RouteInfo& route, bool added) = 0;
    virtual void on_neighbour(const NeighbourInfo& neighbour, bool gone) = 0;
    virtual void on_resync_begin() {}
    virtual void on_resync_end() {}
    /// The netlink socket cannot be used any more (never seen but in bugs); nothing follows.
    virtual void on_kernel_lost(const Failure& why) = 0;
};

/// A route that the configuration wants. Without next hops only types blackhole, unreachable and prohibit make sense.
struct RouteSpec {
    IpPrefix to{};
    RouteType type = RouteType::unicast;
    std::uint32_t metric = 0;             ///< 0: the kernel's, of IPv6 kDefaultMetric6
    std::vector<RouteNextHop> next_hops;  ///< ifindex 0: the kernel finds the link that reaches the gateway
    friend bool operator==(const RouteSpec&, const RouteSpec&) = default;
};

/// What to change of a link; absent means: leave it.
struct LinkChange {
    std::optional<MacAddress> mac;
    std::optional<std::uint32_t> mtu_bytes;
    std::optional<bool> up;
};

/// What is asked of the kernel. Each call is answered before it returns; none waits for anything but the kernel.
struct KernelRequests {
    virtual ~KernelRequests() = default;

    virtual MaybeFailure change_link(IfIndex ifindex, const LinkChange& change) = 0;

    /// Marks the address as sluice's. One that is already there, whoever set it, is left as it is: no failure.
    virtual MaybeFailure add_address(IfIndex ifindex, const IpPrefix& prefix) = 0;
    /// No failure if it is gone already.
    virtual MaybeFailure del_address(IfIndex ifindex, const IpPrefix& prefix) = 0;
    /// The addresses of one link, whoever set them.
    virtual OrFailure<std::vector<AddressInfo>> addresses(IfIndex ifindex) = 0;

    /// Adds to the main table with protocol kOwnProtocol, or replaces the route with the same prefix and metric if it
    /// is sluice's; one that somebody else set is a failure and stays.
    virtual MaybeFailure add_route(const RouteSpec& route) = 0;
    /// Removes a route of sluice; no failure if there is none.
    virtual MaybeFailure del_route(const IpPrefix& to, std::uint32_t metric) = 0;
    /// The routes of sluice become these: others of its protocol number go, missing and changed ones are set. Reports
    /// each route that could not be set; the others are. Call when the first resync has ended, at each reload and when
    /// a twin came up again (the kernel forgets a link's routes when it goes down).
    virtual std::vector<Failure> set_routes(std::span<const RouteSpec> wanted) = 0;

    /// Asks the kernel to find the MAC of a neighbour, once; the answer comes to the observer. Static entries are
    /// left alone.
    virtual MaybeFailure resolve_neighbour(IfIndex ifindex, const IpAddress& address) = 0;
    /// As resolve_neighbour, and from then on the kernel keeps it resolved, until release_neighbour. For next hops in
    /// use only: each costs a probe now and then. Kernels without NTF_EXT_MANAGED are asked again whenever the entry
    /// goes stale.
    virtual MaybeFailure keep_neighbour(IfIndex ifindex, const IpAddress& address) = 0;
    virtual MaybeFailure release_neighbour(IfIndex ifindex, const IpAddress& address) = 0;
};

struct TwinCounters {
    std::uint64_t frames_from_kernel = 0;
    std::uint64_t bytes_from_kernel = 0;
    std::uint64_t frames_to_kernel = 0;
    std::uint64_t bytes_to_kernel = 0;
    std::uint64_t refused_by_kernel = 0;  ///< write() returned false
};

/// A port's twin in the kernel. Frames are whole Ethernet frames without FCS, checksums filled in.
class TwinPort {
public:
    using FrameHandler = std::function<void(std::span<const std::byte> frame)>;
    using LostHandler = std::function<void(const Failure& why)>;

    virtual ~TwinPort() = default;
    [[nodiscard]] virtual const std::string& name() const = 0;
    [[nodiscard]] virtual IfIndex ifindex() const = 0;

    /// From now on `on_frame` gets each frame that the kernel sends out of the twin (valid during the call only), a
    /// bounded number per wake-up; `on_lost` is called at most once, when the device was deleted behind our back.
    virtual void start(FrameHandler on_frame, LostHandler on_lost) = 0;
    /// The kernel receives the frame as if it had arrived at the twin. Never blocks; false when the kernel refuses
    /// (twin down, queue full): the frame is lost and counted.
    virtual bool write(std::span<const std::byte> frame) = 0;

    virtual MaybeFailure set_carrier(bool on) = 0;
    virtual MaybeFailure set_mtu(std::uint32_t mtu_bytes) = 0;
    virtual MaybeFailure set_mac(const MacAddress& mac) = 0;
    /// The addresses of the configuration: adds the missing ones, removes those that sluice set and that are no longer
    /// listed. Reports each that failed; the others are done.
    virtual std::vector<Failure> set_addresses(std::span<const IpPrefix> wanted) = 0;
    [[nodiscard]] virtual const TwinCounters& counters() const = 0;
};

}  // namespace sluice

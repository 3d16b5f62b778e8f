// The one list of trackers: which protocols have one, and what everybody must know of them who handles tuples. A new
// tracker is one line here, its files in l4/, and its timeouts; the kinds, the names in listings and metrics, and the
// table of trackers (l4/trackers.hh) follow from this list. docs/trackers.md shows it with SCTP.
//
// Pure constants; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sluice {

/// What the two port fields of a FlowKey hold, and whether NAT may change it.
enum class TupleShape : std::uint8_t {
    addresses,  ///< nothing: told apart by addresses and protocol number alone
    ports,      ///< source and destination port, the first four bytes of the header; translated
    query,      ///< ICMP: identifier (translated), type and code
    spi,        ///< ESP: the SPI of this direction, in both fields; not translated, nor known of the other direction
    keys,       ///< GRE: the key of either direction, 0 where it has none; not translated
};

// X(kind, class in l4/, protocol number, name in listings, TupleShape). `generic` stands for all the others. TCP, UDP
// and ICMP come first: their packets are handled inline, all others' through the table.
#define SLUICE_TRACKERS(X)                       \
    X(tcp, Tcp, 6, "tcp", ports)                 \
    X(udp, Udp, 17, "udp", ports)                \
    X(icmp, Icmp, 1, "icmp", query)              \
    X(icmpv6, Icmpv6, 58, "icmpv6", query)       \
    X(generic, Generic, 0, "unknown", addresses) \
    X(sctp, Sctp, 132, "sctp", ports)            \
    X(gre, Gre, 47, "gre", keys)                 \
    X(udplite, UdpLite, 136, "udplite", ports)   \
    X(esp, Esp, 50, "unknown", spi)

/// Which tracker a protocol belongs to. Values index tables.
enum class L4Kind : std::uint8_t {
#define X(kind, type, number, name, shape) kind,
    SLUICE_TRACKERS(X)
#undef X
};

inline constexpr auto kL4KindNames = std::to_array<std::string_view>({
#define X(kind, type, number, name, shape) name,
    SLUICE_TRACKERS(X)
#undef X
});
inline constexpr std::size_t kL4KindCount = kL4KindNames.size();

namespace detail {

/// By family: ICMP is IPv4's, ICMPv6 is IPv6's; the other one's has no tracker.
inline constexpr auto kKindOfProtocol = [] {
    std::array<std::array<L4Kind, 256>, 2> kinds{};
    for (auto& family : kinds) {
        family.fill(L4Kind::generic);
#define X(kind, type, number, name, shape) family[number] = L4Kind::kind;
        SLUICE_TRACKERS(X)
#undef X
        family[0] = L4Kind::generic;
    }
    kinds[0][58] = L4Kind::generic;
    kinds[1][1] = L4Kind::generic;
    return kinds;
}();

inline constexpr auto kShapes = std::to_array<TupleShape>({
#define X(kind, type, number, name, shape) TupleShape::shape,
    SLUICE_TRACKERS(X)
#undef X
});

}  // namespace detail

constexpr L4Kind l4_kind(std::uint8_t proto, bool v6) noexcept {
    return detail::kKindOfProtocol[v6][proto];
}

constexpr TupleShape shape_of(L4Kind kind) noexcept {
    return detail::kShapes[static_cast<std::size_t>(kind)];
}

/// As `conntrack -L` prints it; "unknown" for what has no tracker of its own.
constexpr std::string_view name_of(L4Kind kind) noexcept {
    return kL4KindNames[static_cast<std::size_t>(kind)];
}

}  // namespace sluice

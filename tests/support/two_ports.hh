// The box of most pipeline tests: clients at "lan", servers at "wan", a filter that accepts everything, and the
// configurations that go with it.
#pragma once

#include <string>

#include "tests/support/box.hh"

namespace sluice::test {

inline constexpr Ip4 kClient = ip4(192, 168, 1, 10);
inline constexpr Ip4 kClient2 = ip4(192, 168, 1, 11);
inline constexpr Ip4 kServer = ip4(203, 0, 113, 10);
inline constexpr Ip4 kBoxInside = ip4(192, 168, 1, 1);
inline constexpr Ip4 kBoxOutside = ip4(203, 0, 113, 1);

inline constexpr IpAddress kClient6 = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x10);
inline constexpr IpAddress kOtherClient6 = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x11);
inline constexpr IpAddress kServer6 = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x10);
inline constexpr IpAddress kBoxInside6 = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1);
inline constexpr IpAddress kBoxOutside6 = ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 1);
inline constexpr IpAddress kLinkOfBoxInside = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1);
inline constexpr IpAddress kLinkOfBoxOutside = ip6(0xfe80, 0, 0, 0, 0, 0, 0, 2);

inline const std::string kAcceptAll = R"(
filter:
  input: {policy: accept, rules: []}
  forward: {policy: accept, rules: []}
  output: {policy: accept, rules: []}
)";
inline const std::string kMasquerade = kAcceptAll + "nat: [{out: wan, src: 192.168.1.0/24, snat: masquerade}]\n";
inline const std::string kMasquerade6 = kAcceptAll + R"(
nat:
  - {out: wan, src: 192.168.1.0/24, snat: masquerade}
  - {out: wan, src: "2001:db8:1::/64", snat: masquerade}
)";

struct TwoPorts : Box {
    /// Without `yaml` the test configures the box itself.
    explicit TwoPorts(BoxOptions options = {}, const std::string& yaml = {}) : Box(options) {
        port("lan", PortRole::inside, "192.168.1.1/24");
        port("wan", PortRole::outside, "203.0.113.1/24");
        if (options.ipv6) {
            address("lan", "fe80::1/64");
            address("lan", "2001:db8:1::1/64");
            address("wan", "fe80::2/64");
            address("wan", "2001:db8:2::1/64");
        }
        if (!yaml.empty()) configure(yaml);
    }
    /// Packets that a rule has decided or marked, or that its chain's policy has.
    [[nodiscard]] std::uint64_t counted(std::uint32_t rule) const { return policy().counter(0, rule).packets.get(); }
};

/// The same with one conversation over UDP, of which rules can say what they like.
struct AskingBox : TwoPorts {
    explicit AskingBox(const std::string& yaml, BoxOptions options = {}) : TwoPorts(options, yaml) {}

    void there(std::uint16_t port = 53) { send("lan", udp(kClient, 5000, kServer, port).payload("question")); }
    void back(std::uint16_t port = 53) { send("wan", udp(kServer, port, kClient, 5000).payload("answer")); }
};

}  // namespace sluice::test

// What can be wrong with routes, groups, filter rules and NAT rules.
#include "tests/unit/control/config/bad_case.hh"

namespace sluice::config {
namespace {

/// Filter rules begin on line 7.
const std::string kForward = kTwoPorts + "filter:\n  forward:\n    rules:\n";
/// NAT rules begin on line 5.
const std::string kNat = kTwoPorts + "nat:\n";

TEST_CASE("routes that lead nowhere") {
    check_bad(
        kTwoPorts,
        {
            {"host bits", "routes: [{to: 192.0.2.1/24, via: 198.51.100.1}]\n",
             "4:15: routes[0].to: '192.0.2.1/24' has host bits set: did you mean 192.0.2.0/24?\n"},
            {"a prefix of 33", "routes: [{to: 192.0.2.0/33, via: 198.51.100.1}]\n",
             "4:15: routes[0].to: the prefix length of '192.0.2.0/33' is not 0..32\n"},
            {"neither via nor out", "routes: [{to: default}]\n", "4:10: routes[0]: a route needs via, out or both\n"},
            {"an unknown port", "routes: [{to: default, out: wna}]\n",
             "4:29: routes[0].out: unknown port 'wna': did you mean 'wan'?\n"},
            {"via nobody", "routes: [{to: default, via: 0.0.0.0}]\n",
             "4:29: routes[0].via: '0.0.0.0' is not a unicast address\n"},
            {"twice", "routes:\n  - {to: default, via: 192.0.2.1}\n  - {to: 0.0.0.0/0, via: 192.0.2.1}\n",
             "6:5: routes[1]: the same route as routes[0]\n"},
            {"a prefix of 129", "routes: [{to: \"2001:db8::/129\", out: wan}]\n",
             "4:15: routes[0].to: the prefix length of '2001:db8::/129' is not 0..128\n"},
            {"via another family", "routes: [{to: 192.0.2.0/24, via: \"2001:db8::1\", out: wan}]\n",
             "4:34: routes[0].via: '2001:db8::1' is an address of IPv6, and the route is one of IPv4\n"},
            {"via an address of some link", "routes: [{to: default, via: \"fe80::1\"}]\n",
             "4:29: routes[0].via: 'fe80::1' is an address of the link: add the key 'out'\n"},
            {"via an IPv6 address that is none", "routes: [{to: \"::/0\", via: \"ff02::1\", out: wan}]\n",
             "4:28: routes[0].via: 'ff02::1' is not a unicast address\n"},
        });
}

TEST_CASE("next hops that are no neighbour of the box") {
    const std::string ports =
        "ports:\n"
        "  - {name: lan, device: d0, role: inside, addresses: [192.0.2.1/25, 10.0.0.1/8]}\n"
        "  - {name: wan, device: d1, role: outside, addresses: [198.51.100.1/24, 203.0.113.5/32]}\n"
        "  - {name: dmz, parent: wan, vlan: 7, role: inside, addresses: [10.1.0.1/16]}\n";
    check_bad(ports,
              {
                  {"the box itself", "routes: [{to: default, via: 192.0.2.1}]\n",
                   "5:29: routes[0].via: 192.0.2.1 is an address of the box itself (ports[0])\n"},
                  {"in no network", "routes: [{to: default, via: 192.0.2.129}]\n",
                   "5:29: routes[0].via: 192.0.2.129 is in no network of a port: 192.0.2.0/25 of 'lan', 10.0.0.0/8 of "
                   "'lan', 198.51.100.0/24 of 'wan', 203.0.113.5/32 of 'wan', 10.1.0.0/16 of 'dmz'\n"},
                  {"behind a single address", "routes: [{to: default, via: 203.0.113.6, out: wan}]\n",
                   "5:29: routes[0].via: 203.0.113.6 is in no network of 'wan' (198.51.100.0/24, 203.0.113.5/32)\n"},
                  {"behind another port", "routes: [{to: default, out: wan, via: 192.0.2.9}]\n",
                   "5:39: routes[0].via: 192.0.2.9 is in no network of 'wan' (198.51.100.0/24, 203.0.113.5/32), but in "
                   "192.0.2.0/25 of 'lan'\n"},
                  {"a broadcast address", "routes: [{to: default, via: 198.51.100.255}]\n",
                   "5:29: routes[0].via: 198.51.100.255 is the broadcast address of 198.51.100.0/24\n"},
                  {"a broadcast address of its port", "routes: [{to: default, out: dmz, via: 10.1.255.255}]\n",
                   "5:39: routes[0].via: 10.1.255.255 is the broadcast address of 10.1.0.0/16\n"},
                  {"behind a gateway",
                   "routes:\n  - {to: 203.0.113.0/24, via: 198.51.100.9}\n"
                   "  - {to: default, via: 203.0.113.9}\n  - {to: 192.0.2.192/26, out: wan, via: 203.0.113.9}\n",
                   "7:24: routes[1].via: 203.0.113.9 is in no network of a port: 192.0.2.0/25 of 'lan', 10.0.0.0/8 of "
                   "'lan', 198.51.100.0/24 of 'wan', 203.0.113.5/32 of 'wan', 10.1.0.0/16 of 'dmz'\n"
                   "8:41: routes[2].via: 203.0.113.9 is in no network of 'wan' (198.51.100.0/24, 203.0.113.5/32)\n"},
                  {"an unknown port is complaint enough", "routes: [{to: default, out: moon, via: 203.0.113.9}]\n",
                   "5:29: routes[0].out: unknown port 'moon'\n"},
              });
    check_bad(ports + "  - {name: six, device: d2, role: inside, addresses: [2001:db8::1/64]}\n",
              {
                  {"beside the box, of IPv6", "routes: [{to: default, out: six, via: \"2001:db8:1::1\"}]\n",
                   "6:39: routes[0].via: 2001:db8:1::1 is in no network of 'six' (2001:db8::/64)\n"},
                  {"the box itself, of IPv6", "routes: [{to: default, via: \"2001:db8::1\"}]\n",
                   "6:29: routes[0].via: 2001:db8::1 is an address of the box itself (ports[3])\n"},
                  {"behind another port, of IPv6",
                   "routes: [{to: \"::/0\", out: wan, via: \"2001:db8::9\"}]\n"
                   "groups: {addresses: {a: 300}}\n",
                   "7:25: groups.addresses.a: '300' is not an IP address\n"},
              });
    std::string many = "ports:\n";
    for (int i = 10; i < 20; ++i) {
        const std::string n = std::to_string(i);
        many += "  - {name: p" + n + ", device: d" + n + ", role: inside, addresses: [192.0.2." + n + "/32]}\n";
    }
    check_bad(many, {{"many networks", "routes: [{to: default, via: 198.51.100.1}]\n",
                      "12:29: routes[0].via: 198.51.100.1 is in no network of a port: 192.0.2.10/32 of 'p10', "
                      "192.0.2.11/32 of 'p11', 192.0.2.12/32 of 'p12', 192.0.2.13/32 of 'p13', 192.0.2.14/32 of "
                      "'p14', 192.0.2.15/32 of 'p15', 192.0.2.16/32 of 'p16', 192.0.2.17/32 of 'p17' and 2 more\n"}});
}

TEST_CASE("tenants that are not told apart, or are not there") {
    const std::string ports =
        "ports:\n"
        "  - {name: a, device: d0, role: inside, zone: 1, addresses: [10.0.0.1/24]}\n"
        "  - {name: b, device: d1, role: inside, zone: 2, addresses: [10.0.0.1/24]}\n";
    check_bad(ports, {{"a next hop in the networks of two", "routes: [{to: default, via: 10.0.0.254}]\n",
                       "4:29: routes[0].via: 10.0.0.254 is in a network of 'a' and in one of 'b', in different zones: "
                       "add the key 'out'\n"},
                      {"a target of nobody", "nat: [{dst: 192.0.2.1, dnat: {to: 10.0.0.5, zone: 3}}]\n",
                       "4:51: nat[0].dnat.zone: no port is in zone 3\n"},
                      {"zone 0 has no port", "nat: [{dst: 192.0.2.1, dnat: {to: 10.0.0.5, zone: 0}}]\n",
                       "4:51: nat[0].dnat.zone: no port is in zone 0\n"}});
}

TEST_CASE("next hops that the kernel takes, or of which the file cannot know") {
    const std::string lan =
        "ports:\n  - {name: lan, device: d0, role: inside, addresses: [192.0.2.1/25, 10.0.0.1/8]}\n";
    const std::string wan = "  - {name: wan, device: d1, role: outside, addresses: [198.51.100.0/31, 10.1.0.1/16]}\n";
    const std::string v6 =
        "  - {name: wan, device: d1, role: outside, addresses: [2001:db8::1/64]}\n"
        "  - {name: dmz, device: d2, role: inside, addresses: [fd00::1/64]}\n";
    const std::string dhcp = "  - {name: wan, device: d1, role: outside}\n";
    const auto text = GENERATE_COPY(values<std::string>({
        lan + wan + "routes: [{to: default, via: 198.51.100.1}]\n",
        lan + wan + "routes: [{to: default, via: 10.1.255.255, out: lan}]\n",  // wan's broadcast address alone
        lan + wan + "routes: [{to: default, via: 203.0.113.9}, {to: 203.0.113.0/24, out: wan}]\n",
        lan + wan + "routes: [{to: default, via: 203.0.113.255, out: wan}, {to: 203.0.113.0/24, out: wan}]\n",
        lan + dhcp + "routes: [{to: default, via: 203.0.113.9}]\n",
        lan + dhcp + "routes: [{to: default, via: 203.0.113.9, out: wan}]\n",
        lan + wan + "routes: [{to: default, via: \"2001:db8::1\"}]\n",  // the file names no IPv6 network
        lan + wan + "routes: [{to: \"::/0\", via: \"fe80::1\", out: wan}]\n",
        lan + v6 + "routes: [{to: \"::/0\", via: \"fe80::1\", out: wan}]\n",
        lan + v6 + "routes: [{to: default, via: \"2001:db8::9\"}]\n",
        lan + v6 + "routes: [{to: default, via: \"2001:db8::ffff:ffff:ffff:ffff\"}]\n",  // no broadcast
    }));
    INFO(text);
    CHECK(to_string(load_config_text(text, "test.yaml").errors).empty());
}

TEST_CASE("groups that name nothing, or themselves") {
    check_bad(kTwoPorts,
              {
                  {"a bad name", "groups: {addresses: {2nd: [192.0.2.1]}}\n",
                   "4:22: groups.addresses.2nd: '2nd' is not a name: a letter, then up to 30 letters, digits, '_', '-' "
                   "or '.'\n"},
                  {"a bad address", "groups: {addresses: {a: [192.0.2.300]}}\n",
                   "4:26: groups.addresses.a[0]: '192.0.2.300' is not an IP address\n"},
                  {"a range backwards", "groups: {addresses: {a: [192.0.2.9-192.0.2.1]}}\n",
                   "4:26: groups.addresses.a[0]: the range '192.0.2.9-192.0.2.1' runs backwards\n"},
                  {"host bits", "groups: {addresses: {a: 192.0.2.1/24}}\n",
                   "4:25: groups.addresses.a: '192.0.2.1/24' has host bits set: did you mean 192.0.2.0/24?\n"},
                  {"an address and a port", "groups: {addresses: {a: \"192.0.2.1:80\"}}\n",
                   "4:25: groups.addresses.a: '192.0.2.1:80' is not an IPv6 address\n"},
                  {"host bits of IPv6", "groups: {addresses: {a: [\"2001:db8::1/32\"]}}\n",
                   "4:26: groups.addresses.a[0]: '2001:db8::1/32' has host bits set: did you mean 2001:db8::/32?\n"},
                  {"empty", "groups: {addresses: {a: []}}\n",
                   "4:25: groups.addresses.a: an empty list matches nothing: leave the key out to match all\n"},
                  {"an unknown member", "groups: {addresses: {all: [servers]}}\n",
                   "4:28: groups.addresses.all[0]: unknown address group 'servers'\n"},
                  {"the other kind of group", "groups: {addresses: {a: [192.0.2.1]}, ports: {p: [a]}}\n",
                   "4:51: groups.ports.p[0]: unknown port group 'a'\n"},
                  {"itself", "groups: {addresses: {a: [192.0.2.1, a]}}\n",
                   "4:25: groups.addresses.a: the group contains itself: a -> a\n"},
                  {"a circle, reached from outside",
                   "groups:\n  ports:\n    x: [a]\n    a: [80, b]\n    b: [c]\n    c: [a, 443]\n    y: [c]\n",
                   "7:8: groups.ports.a: the group contains itself: a -> b -> c -> a\n"},
                  {"a port of 65536", "groups: {ports: {p: [65536]}}\n",
                   "4:22: groups.ports.p[0]: 65536 is out of range 0..65535\n"},
                  {"ports backwards", "groups: {ports: {p: [90-80]}}\n",
                   "4:22: groups.ports.p[0]: the range '90-80' runs backwards\n"},
                  {"not among items", "groups: {addresses: {a: [\"!192.0.2.1\"]}}\n",
                   "4:26: groups.addresses.a[0]: '!' negates a whole match: write {not: [...]} here\n"},
              });
}

TEST_CASE("filter rules with wrong parts") {
    check_bad(
        kForward,
        {
            {"an unknown port", "      - {in: lna, action: drop}\n",
             "7:14: filter.forward.rules[0].in: unknown port 'lna': did you mean 'lan'?\n"},
            {"one of two ports unknown", "      - {in: [lan, moon], action: drop}\n",
             "7:20: filter.forward.rules[0].in[1]: unknown port 'moon'\n"},
            {"the box as a port", "      - {in: kernel, action: drop}\n",
             "7:14: filter.forward.rules[0].in: 'kernel' is not a port: use the chains input and output for packets to "
             "and "
             "from the box\n"},
            {"an unknown address group", "      - {src: servers, action: drop}\n",
             "7:15: filter.forward.rules[0].src: unknown address group 'servers'\n"},
            {"an unknown negated group", "      - {src: {not: servers}, action: drop}\n",
             "7:21: filter.forward.rules[0].src.not: unknown address group 'servers'\n"},
            {"an unknown port group", "      - {proto: tcp, dport: web, action: drop}\n",
             "7:29: filter.forward.rules[0].dport: unknown port group 'web'\n"},
            {"no address", "      - {dst: 192.0.2, action: drop}\n",
             "7:15: filter.forward.rules[0].dst: '192.0.2' is not an IP address\n"},
            {"IPv4 mapped into IPv6", "      - {dst: \"::ffff:192.0.2.1\", action: drop}\n",
             "7:15: filter.forward.rules[0].dst: '::ffff:192.0.2.1' is an IPv4 address: write it as 192.0.2.1\n"},
            {"an unknown family", "      - {family: ip6, action: drop}\n",
             "7:18: filter.forward.rules[0].family: unknown word 'ip6': did you mean 'ipv6'? (one of ipv4, ipv6)\n"},
            {"an unquoted not", "      - {dst: !servers, action: drop}\n",
             "7:15: a YAML tag ('!servers') has no meaning here: put text that begins with '!' in quotes\n"},
            {"not, of nothing", "      - {dst: {}, action: drop}\n",
             "7:15: filter.forward.rules[0].dst: the key 'not' is missing\n"},
            {"an unknown protocol", "      - {proto: tpc, action: drop}\n",
             "7:17: filter.forward.rules[0].proto: unknown protocol 'tpc': one of tcp, udp, icmp, icmpv6, igmp, gre, "
             "esp, "
             "ah, sctp, udplite, any, "
             "or a number 0..255\n"},
            {"protocol 256", "      - {proto: 256, action: drop}\n",
             "7:17: filter.forward.rules[0].proto: 256 is out of range 0..255\n"},
            {"a type of ICMP's for ICMPv6", "      - {proto: icmpv6, icmp_type: redirect, action: drop}\n",
             "7:36: filter.forward.rules[0].icmp_type: unknown ICMPv6 type 'redirect': a name as in nft (echo-request, "
             "...) or a number 0..255\n"},
            {"an unknown state", "      - {state: [new, established, relatd], action: drop}\n",
             "7:36: filter.forward.rules[0].state[2]: unknown word 'relatd': did you mean 'related'? (one of new, "
             "established, related, invalid, untracked)\n"},
            {"a state twice", "      - {state: [new, new], action: drop}\n",
             "7:23: filter.forward.rules[0].state[1]: the state 'new' is there twice\n"},
            {"an unknown reason for INVALID", "      - {invalid: [tcp_ack, tcp_sequense], action: drop}\n",
             "7:29: filter.forward.rules[0].invalid[1]: unknown word 'tcp_sequense': did you mean 'tcp_sequence'? (one "
             "of tcp_flags, tcp_state, tcp_no_connection, tcp_sequence, tcp_ack, tcp_reset, icmp_no_request, "
             "icmp_type, icmp_family, icmp_unrelated, sctp_checksum, sctp_chunks, sctp_no_association, sctp_state, "
             "sctp_tag, gre_protocol, no_next_header, esp_spi, udplite_coverage, udplite_checksum)\n"},
            {"a reason for INVALID twice", "      - {invalid: [tcp_ack, tcp_ack], action: drop}\n",
             "7:29: filter.forward.rules[0].invalid[1]: the reason 'tcp_ack' is there twice\n"},
            {"a reason for INVALID, of another state", "      - {state: new, invalid: tcp_ack, action: drop}\n",
             "7:31: filter.forward.rules[0].invalid: the rule's state is not invalid\n"},
            {"an unknown ICMP type", "      - {proto: icmp, icmp_type: ping, action: drop}\n",
             "7:34: filter.forward.rules[0].icmp_type: unknown ICMP type 'ping': a name as in nft (echo-request, ...) "
             "or a "
             "number 0..255\n"},
            {"an unknown action", "      - {action: acept}\n",
             "7:18: filter.forward.rules[0].action: unknown word 'acept': did you mean 'accept'? (one of accept, drop, "
             "reject)\n"},
            {"a rule that sets nothing", "      - {set: {}}\n",
             "7:15: filter.forward.rules[0].set: there is nothing to set\n"},
            {"a mark that is none", "      - {mark: ten, action: drop}\n",
             "7:16: filter.forward.rules[0].mark: expected a mark (16, 0x10 or 0x10/0xf0), found 'ten'\n"},
            {"a mark of 33 bits", "      - {ct_mark: 0x100000000, action: drop}\n",
             "7:19: filter.forward.rules[0].ct_mark: expected a mark (16, 0x10 or 0x10/0xf0), found '0x100000000'\n"},
            {"a mark outside of its mask", "      - {mark: {not: 0x11/0xf0}, action: drop}\n",
             "7:22: filter.forward.rules[0].mark.not: '0x11/0xf0' has bits outside of its mask\n"},
            {"a mask without bits", "      - {mark: \"!0/0\", action: drop}\n",
             "7:16: filter.forward.rules[0].mark: the mask of '0/0' has no bit\n"},
            {"a mask that is none", "      - {set: {ct_mark: 1/x}}\n",
             "7:25: filter.forward.rules[0].set.ct_mark: the mask of '1/x' is not a number of 32 bits\n"},
            {"a flow's mark from itself", "      - {set: {ct_mark: ct_mark}}\n",
             "7:25: filter.forward.rules[0].set.ct_mark: expected a mark (16, 0x10 or 0x10/0xf0) or mark, found "
             "'ct_mark'\n"},
            {"a list of marks", "      - {mark: [1, 2], action: drop}\n",
             "7:16: filter.forward.rules[0].mark: expected a mark, found a list\n"},
            {"a long log prefix", "      - {action: drop, log: " + std::string(65, 'x') + "}\n",
             "7:29: filter.forward.rules[0].log: the text has 65 bytes: at most 64 are possible\n"},
            {"a log prefix of two lines", "      - {action: drop, log: \"a\\nb\"}\n",
             "7:29: filter.forward.rules[0].log: a control character in the text\n"},
        });
    check_bad(kTwoPorts, {{"a policy of reject", "filter: {input: {policy: reject}}\n",
                           "4:26: filter.input.policy: unknown word 'reject' (one of accept, drop)\n"}});
}

TEST_CASE("filter rules that contradict themselves") {
    check_bad(kForward, {
                            {"ports of ICMP", "      - {proto: icmp, dport: 80, action: drop}\n",
                             "7:30: filter.forward.rules[0].dport: dport needs proto: tcp, udp, sctp or udplite, and "
                             "the rule has proto: icmp\n"},
                            {"ports of any protocol", "      - {sport: 80, action: drop}\n",
                             "7:17: filter.forward.rules[0].sport: sport needs proto: tcp, udp, sctp or udplite, and "
                             "the rule has none of them\n"},
                            {"an ICMP type of TCP", "      - {proto: tcp, icmp_type: echo-request, action: drop}\n",
                             "7:33: filter.forward.rules[0].icmp_type: icmp_type needs proto: icmp or icmpv6\n"},
                            {"a log without an action", "      - {log: x, set: {mark: 1}}\n",
                             "7:15: filter.forward.rules[0].log: log needs an action\n"},
                            {"an answer without an action", "      - {set: {mark: 1}, reject_with: port-unreachable}\n",
                             "7:39: filter.forward.rules[0].reject_with: reject_with needs action: reject\n"},
                            {"a TCP reset for UDP", "      - {proto: udp, action: reject, reject_with: tcp-reset}\n",
                             "7:51: filter.forward.rules[0].reject_with: tcp-reset needs proto: tcp\n"},
                            {"an answer to what is dropped", "      - {action: drop, reject_with: port-unreachable}\n",
                             "7:37: filter.forward.rules[0].reject_with: reject_with needs action: reject\n"},
                        });
    check_bad(kTwoPorts,
              {
                  {"where packets for the box leave", "filter: {input: {rules: [{out: wan, action: drop}]}}\n",
                   "4:32: filter.input.rules[0].out: packets for the box have no out port\n"},
                  {"where packets from the box arrive", "filter: {output: {rules: [{in: wan, action: drop}]}}\n",
                   "4:32: filter.output.rules[0].in: packets from the box have no in port\n"},
              });
}

TEST_CASE("timeout policies that are none, and rules that cannot give them") {
    check_bad(
        kTwoPorts + "conntrack:\n  timeout_policies:\n",
        {
            {"no protocol", "    dns: {unreplied: 5s}\n",
             "6:10: conntrack.timeout_policies.dns: the key 'proto' is missing\n"},
            {"any protocol", "    dns: {proto: any, unreplied: 5s}\n",
             "6:18: conntrack.timeout_policies.dns.proto: a timeout policy is for one protocol\n"},
            {"a key of another protocol", "    dns: {proto: udp, established: 5s}\n",
             "6:23: conntrack.timeout_policies.dns.established: unknown key 'established' (known here: proto, "
             "unreplied, "
             "replied)\n"},
            {"no time", "    dns: {proto: udp}\n",
             "6:10: conntrack.timeout_policies.dns: the policy sets no timeout\n"},
            {"a time that is none", "    dns: {proto: udp, replied: soon}\n",
             "6:32: conntrack.timeout_policies.dns.replied: expected a duration such as 30s, 5m, 2h or 5d, found "
             "'soon'\n"},
            {"an unknown policy",
             "    dns: {proto: udp, replied: 5s}\nfilter: {forward: {rules: [{proto: udp, set: {timeout: dsn}}]}}\n",
             "7:56: filter.forward.rules[0].set.timeout: unknown timeout policy 'dsn': did you mean 'dns'?\n"},
            {"a policy for another protocol",
             "    dns: {proto: udp, replied: 5s}\nfilter: {forward: {rules: [{proto: tcp, set: {timeout: dns}}]}}\n",
             "7:56: filter.forward.rules[0].set.timeout: the policy 'dns' needs proto: udp\n"},
            {"a policy for any protocol",
             "    dns: {proto: udp, replied: 5s}\nfilter: {input: {rules: [{set: {timeout: dns}}]}}\n",
             "7:42: filter.input.rules[0].set.timeout: the policy 'dns' needs proto: udp\n"},
        });
}

TEST_CASE("as many timeout policies as there are ids, and one more") {
    std::string text = kTwoPorts + "conntrack:\n  timeout_policies:\n";
    for (unsigned i = 1; i <= 255; ++i) text += "    p" + std::to_string(i) + ": {proto: udp, replied: 5s}\n";
    CHECK(load_config_text(text, "test.yaml").ok());
    check_bad(text, {{"the 256th", "    p256: {proto: udp, replied: 5s}\n",
                      "261:5: conntrack.timeout_policies.p256: more than 255 timeout policies\n"}});
}

TEST_CASE("raw rules that ask for what is not known yet") {
    check_bad(
        kTwoPorts + "raw:\n  prerouting:\n",
        {
            {"a state", "    - {state: new, action: drop}\n",
             "6:8: raw.prerouting[0].state: unknown key 'state' (known here: in, out, family, src, dst, proto, sport, "
             "dport, icmp_type, mark, set, action, log, comment)\n"},
            {"the flow's mark", "    - {set: {ct_mark: 1}}\n",
             "6:13: raw.prerouting[0].set: the key 'mark' is missing\n"
             "6:14: raw.prerouting[0].set.ct_mark: unknown key 'ct_mark' (known here: mark)\n"},
            {"a copy of the flow's mark", "    - {set: {mark: ct_mark}}\n",
             "6:20: raw.prerouting[0].set.mark: expected a mark (16, 0x10 or 0x10/0xf0), found 'ct_mark'\n"},
            {"where it leaves", "    - {out: wan, action: drop}\n",
             "6:13: raw.prerouting[0].out: raw comes before routing: the out port is not known yet\n"},
            {"an answer", "    - {action: reject}\n",
             "6:16: raw.prerouting[0].action: unknown word 'reject' (one of accept, drop, notrack)\n"},
            {"nothing to do", "    - {proto: udp}\n", "6:7: raw.prerouting[0]: the key 'action' is missing\n"},
            {"ports of any protocol", "    - {dport: 53, action: notrack}\n",
             "6:15: raw.prerouting[0].dport: dport needs proto: tcp, udp, sctp or udplite, and the rule has none of "
             "them\n"},
        });
    check_bad(kTwoPorts, {{"where packets from the box arrive", "raw: {output: [{in: wan, action: notrack}]}\n",
                           "4:21: raw.output[0].in: packets from the box have no in port\n"},
                          {"notrack in the filter", "filter: {forward: {rules: [{action: notrack}]}}\n",
                           "4:37: filter.forward.rules[0].action: unknown word 'notrack' (one of accept, drop, "
                           "reject)\n"}});
}

TEST_CASE("NAT rules with wrong parts") {
    check_bad(
        kNat,
        {
            {"neither snat nor dnat", "  - {out: wan}\n", "5:5: nat[0]: a NAT rule needs snat or dnat\n"},
            {"both", "  - {out: wan, snat: masquerade, dnat: {to: 192.0.2.1}}\n",
             "5:40: nat[0].dnat: a rule has either snat or dnat: write two rules\n"},
            {"a misspelt masquerade", "  - {out: wan, snat: masqerade}\n",
             "5:22: nat[0].snat: expected masquerade or {to: ...}, found 'masqerade'\n"},
            {"no target", "  - {in: wan, dnat: {port: 80}}\n",
             "5:21: nat[0].dnat: the key 'to' or 'prefix' is missing\n"},
            {"an unknown group of targets", "  - {in: wan, dnat: {to: [192.0.2.1, servers]}}\n",
             "5:38: nat[0].dnat.to[1]: unknown address group 'servers'\n"},
            {"targets that no host has", "  - {in: wan, dnat: {to: 224.0.0.0/8}}\n",
             "5:26: nat[0].dnat.to: '224.0.0.0/8' is not a unicast address\n"},
            {"targets in a group that no host has",
             "  - {out: wan, snat: {to: loop}}\ngroups: {addresses: {loop: 127.0.0.1}}\n",
             "5:27: nat[0].snat.to: '127.0.0.1' in the group is not a unicast address\n"},
            {"a pool that overlaps",
             "  - {out: wan, snat: {to: [192.0.2.16/28, 198.51.100.1, 192.0.2.9-192.0.2.16, 198.51.100.1]}}\n",
             "5:57: nat[0].snat.to[2]: '192.0.2.9-192.0.2.16' overlaps '192.0.2.16/28': a pool counts each address "
             "once\n"
             "5:79: nat[0].snat.to[3]: '198.51.100.1' overlaps '198.51.100.1': a pool counts each address once\n"},
            {"a pool that overlaps by a group",
             "  - {out: wan, snat: {to: [pool, 192.0.2.7]}}\n"
             "groups: {addresses: {pool: [192.0.2.1-192.0.2.9, 192.0.2.20]}}\n",
             "5:34: nat[0].snat.to[1]: '192.0.2.7' overlaps '192.0.2.1-192.0.2.9': a pool counts each address once\n"},
            {"a pool whose group overlaps",
             "  - {out: wan, snat: {to: pool}}\ngroups: {addresses: {pool: [192.0.2.1-192.0.2.9, 192.0.2.4]}}\n",
             "5:27: nat[0].snat.to: '192.0.2.4' overlaps '192.0.2.1-192.0.2.9': a pool counts each address once\n"},
            {"port 0", "  - {in: wan, proto: tcp, dnat: {to: 192.0.2.1, port: 0}}\n",
             "5:55: nat[0].dnat.port: 0 is out of range 1..65535\n"},
            {"port and ports", "  - {in: wan, proto: tcp, dport: 80, dnat: {to: 192.0.2.1, port: 80, ports: 80}}\n",
             "5:77: nat[0].dnat.ports: either port or ports, not both\n"},
            {"an unknown schedule", "  - {in: wan, dnat: {to: 192.0.2.1, schedule: robin}}\n",
             "5:47: nat[0].dnat.schedule: unknown word 'robin' (one of round-robin, random, source-hash)\n"},
            {"what is not there yet", "  - {out: wan, snat: masquerade, existing: rebind}\n",
             "5:44: nat[0].existing: 'rebind' is not supported yet: a NAT decision stays with its flow (keep)\n"},
        });
}

TEST_CASE("NAT rules that contradict themselves") {
    check_bad(kNat,
              {
                  {"dnat after routing", "  - {in: wan, out: lan, dnat: {to: 192.0.2.1}}\n",
                   "5:20: nat[0].out: dnat happens before routing: the out port is not known yet\n"},
                  {"snat before routing", "  - {in: lan, out: wan, snat: masquerade}\n",
                   "5:10: nat[0].in: snat happens after routing: it matches the out port, not the in port\n"},
                  {"snat anywhere", "  - {src: 192.0.2.0/24, snat: masquerade}\n",
                   "5:5: nat[0]: snat needs the key 'out': the ports where it applies\n"},
                  {"ports of GRE", "  - {out: wan, proto: gre, snat: {to: 192.0.2.1, ports: 1024-2047}}\n",
                   "5:34: nat[0].snat: ports need proto: tcp, udp, sctp or udplite, and the rule has proto: gre\n"},
                  {"a new port without a protocol", "  - {in: wan, dst: 192.0.2.1, dnat: {to: 192.0.2.9, port: 80}}\n",
                   "5:37: nat[0].dnat: a port needs proto: tcp, udp, sctp or udplite, and the rule has none of them\n"},
                  {"dport without a protocol", "  - {in: wan, dport: 80, dnat: {to: 192.0.2.9}}\n",
                   "5:22: nat[0].dport: dport needs proto: tcp, udp, sctp or udplite, and the rule has none of them\n"},
                  {"a shift of another width",
                   "  - {in: wan, proto: tcp, dport: 80-89, dnat: {to: 192.0.2.9, ports: 8080-8090}}\n",
                   "5:47: nat[0].dnat: the ports 8080-8090 shift those of dport, which must be one range of the same "
                   "width\n"},
                  {"a shift of everything", "  - {in: wan, proto: tcp, dnat: {to: 192.0.2.9, ports: 8080-8090}}\n",
                   "5:33: nat[0].dnat: the ports 8080-8090 shift those of dport, which must be one range of the same "
                   "width\n"},
              });
}

TEST_CASE("rules of two families at once") {
    check_bad(kForward, {
                            {"from one to the other", "      - {src: 192.0.2.1, dst: \"2001:db8::1\", action: drop}\n",
                             "7:31: filter.forward.rules[0].dst: dst is of IPv6, and src of IPv4: no packet is of "
                             "both\n"},
                            {"negated, still", "      - {src: \"!192.0.2.1\", dst: \"2001:db8::1\", action: drop}\n",
                             "7:34: filter.forward.rules[0].dst: dst is of IPv6, and src of IPv4: no packet is of "
                             "both\n"},
                            {"another family", "      - {family: ipv6, dst: 192.0.2.1, action: drop}\n",
                             "7:29: filter.forward.rules[0].dst: dst is of IPv4, and family of IPv6: no packet is of "
                             "both\n"},
                            {"ICMP of IPv6", "      - {proto: icmp, src: \"2001:db8::/32\", action: drop}\n",
                             "7:28: filter.forward.rules[0].src: src is of IPv6, and proto of IPv4: no packet is of "
                             "both\n"},
                            {"ICMPv6 of IPv4", "      - {proto: icmpv6, family: ipv4, action: drop}\n",
                             "7:33: filter.forward.rules[0].family: family is of IPv4, and proto of IPv6: no packet is "
                             "of both\n"},
                            {"by a group within a group",
                             "      - {family: ipv4, src: all, action: drop}\n"
                             "groups: {addresses: {all: [inner], inner: \"2001:db8::1\"}}\n",
                             "7:29: filter.forward.rules[0].src: src is of IPv6, and family of IPv4: no packet is of "
                             "both\n"},
                        });
    check_bad(kTwoPorts, {{"before tracking", "raw: {output: [{family: ipv4, dst: \"2001:db8::1\", action: drop}]}\n",
                           "4:36: raw.output[0].dst: dst is of IPv6, and family of IPv4: no packet is of both\n"}});
    check_bad(kNat, {
                        {"a pool of both", "  - {out: wan, snat: {to: [192.0.2.1, \"2001:db8::1\"]}}\n",
                         "5:27: nat[0].snat.to: addresses of IPv4 and of IPv6: write a rule for each\n"},
                        {"targets of both, by groups",
                         "  - {in: wan, dnat: {to: [a, b]}}\n"
                         "groups: {addresses: {a: 192.0.2.1, b: \"2001:db8::1\"}}\n",
                         "5:26: nat[0].dnat.to: addresses of IPv4 and of IPv6: write a rule for each\n"},
                        {"a target of another", "  - {in: wan, dst: 192.0.2.1, dnat: {to: \"2001:db8::1\"}}\n",
                         "5:37: nat[0].dnat: dnat is of IPv6, and dst of IPv4: no packet is of both\n"},
                        {"a source of another", "  - {out: wan, src: \"fd00::/8\", snat: {to: 192.0.2.1}}\n",
                         "5:39: nat[0].snat: snat is of IPv4, and src of IPv6: no packet is of both\n"},
                    });
}

TEST_CASE("prefixes that cannot be translated") {
    check_bad(
        kNat,
        {
            {"of IPv4", "  - {out: wan, src: 192.0.2.0/24, snat: {prefix: 198.51.100.0/24}}\n",
             "5:50: nat[0].snat.prefix: '198.51.100.0/24' is IPv4: prefixes are translated of IPv6 (RFC "
             "6296)\n"},
            {"too long", "  - {out: wan, src: \"fd00::/113\", snat: {prefix: \"2001:db8::/113\"}}\n",
             "5:50: nat[0].snat.prefix: the prefix length of '2001:db8::/113' is not 1..112\n"},
            {"of the link", "  - {out: wan, src: \"fd00::/64\", snat: {prefix: \"fe80::/64\"}}\n",
             "5:49: nat[0].snat.prefix: 'fe80::/64' is not a prefix of unicast addresses\n"},
            {"of anything", "  - {out: wan, snat: {prefix: \"2001:db8::/48\"}}\n",
             "5:22: nat[0].snat: the prefix takes the place of src, which must be one prefix of /48\n"},
            {"of another length", "  - {in: wan, dst: \"2001:db8::/48\", dnat: {prefix: \"fd00::/56\"}}\n",
             "5:43: nat[0].dnat: the prefix takes the place of dst, which must be one prefix of /56\n"},
            {"of all but one", "  - {out: wan, src: {not: \"fd00::/48\"}, snat: {prefix: \"2001:db8::/48\"}}\n",
             "5:47: nat[0].snat: the prefix takes the place of src, which must be one prefix of /48\n"},
            {"and addresses",
             "  - {out: wan, src: \"fd00::/48\", snat: {to: \"2001:db8::1\", prefix: \"2001:db8::/48\"}}\n",
             "5:68: nat[0].snat.prefix: either to or prefix, not both\n"},
            {"and ports", "  - {out: wan, src: \"fd00::/48\", snat: {prefix: \"2001:db8::/48\", ports: 1024-2047}}\n",
             "5:73: nat[0].snat.ports: ports has no meaning with a prefix: ports are kept\n"},
        });
}

}  // namespace
}  // namespace sluice::config

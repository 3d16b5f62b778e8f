// A good file becomes the values that it says; a bad one gives all of its errors at once; nothing throws.
#include "control/config/load.hh"

#include <filesystem>
#include <fstream>
#include <unistd.h>

#include "control/config/print.hh"
#include "tests/unit/control/config/bad_case.hh"

namespace sluice::config {
namespace {

/// The configuration of the design, word for word.
constexpr const char* kDesign = R"(
workers: {cores: [1], main: 0, idle: spin}   # lcores; idle: spin | sleep (sleep yields the core when no packet comes)
memory: {hugepages: auto, megabytes: 1024}   # auto | off
ports:
  - {name: lan, device: "0000:03:00.0", role: inside,  tap: lan0, addresses: [192.168.1.1/24]}
  - {name: wan, device: "net_af_xdp0,iface=w1", role: outside, tap: wan0, addresses: [203.0.113.1/24]}
routes: [{to: 0.0.0.0/0, via: 203.0.113.254}]
groups:
  addresses: {servers: [192.168.1.10, 192.168.1.11]}
  ports: {web: [80, 443, 8000-8080]}
conntrack:
  max: 1048576                               # flows, all workers together
  profile: linux                             # or cgn
  timeouts: {tcp_established: 5d, udp: 30s, udp_stream: 120s, icmp: 30s, generic: 600s}
helpers:
  ftp: {ports: [21], loose: false}
filter:
  input:   {policy: drop, rules: [{in: lan, proto: icmp, action: accept}]}
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {state: [invalid], action: drop, log: "invalid "}
      - {in: lan, out: wan, proto: tcp, dport: web, action: accept, comment: "web out"}
      - {in: lan, out: wan, proto: tcp, dport: 21, action: accept}
nat:
  - {out: wan, src: 192.168.1.0/24, snat: masquerade}
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8080, dnat: {to: servers, port: 80, schedule: round-robin}}
metrics: {listen: "127.0.0.1:9140"}
control: {socket: /run/sluice/control.sock}
)";

AddressRange one(const IpAddress& address) {
    return {address, address};
}

TEST_CASE("the configuration of the design loads") {
    const ConfigResult result = load_config_text(kDesign, "design.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    const Config& config = *result.config;

    SECTION("ports and routes") {
        REQUIRE(config.ports.size() == 2);
        CHECK(config.ports[0].name == "lan");
        CHECK(config.ports[0].device == "0000:03:00.0");
        CHECK(config.ports[0].role == PortRole::inside);
        CHECK(config.ports[0].tap == "lan0");
        CHECK(config.ports[0].addresses == std::vector<InterfaceAddress>{{ip4(192, 168, 1, 1), 24}});
        CHECK(config.ports[1].role == PortRole::outside);
        CHECK_FALSE(config.ports[1].is_vlan());
        REQUIRE(config.routes.size() == 1);
        CHECK(config.routes[0] == Route{Ip4{}, 0, ip4(203, 0, 113, 254), ""});
    }
    SECTION("groups and numbers") {
        CHECK(config.conntrack.max == 1048576);
        CHECK(config.conntrack.timeouts == Timeouts{});
        CHECK(config.helpers == Helpers{});
        REQUIRE(config.groups.addresses.size() == 1);
        CHECK(config.groups.addresses[0].items ==
              std::vector<AddressItem>{one(ip4(192, 168, 1, 10)), one(ip4(192, 168, 1, 11))});
        REQUIRE(config.groups.ports.size() == 1);
        CHECK(config.groups.ports[0].items ==
              std::vector<PortItem>{PortRange{80, 80}, PortRange{443, 443}, PortRange{8000, 8080}});
    }
    SECTION("filter") {
        CHECK(config.filter.input.policy == ChainPolicy::drop);
        CHECK(config.filter.output == Chain{});
        REQUIRE(config.filter.forward.rules.size() == 4);
        const FilterRule& replies = config.filter.forward.rules[0];
        CHECK(replies.state.established);
        CHECK(replies.state.related);
        CHECK_FALSE(replies.state.new_flow);
        CHECK(config.filter.forward.rules[1].log == "invalid ");
        const FilterRule& web = config.filter.forward.rules[2];
        CHECK(web.in.names == std::vector<std::string>{"lan"});
        CHECK(web.proto == 6);
        CHECK(web.dport.items == std::vector<PortItem>{"web"});
        CHECK(web.src.any());
        CHECK(web.action == FilterAction::accept);
        CHECK(web.comment == "web out");
    }
    SECTION("nat") {
        REQUIRE(config.nat.size() == 2);
        REQUIRE(config.nat[0].is_snat());
        CHECK(std::get<Snat>(config.nat[0].action).masquerade);
        CHECK(config.nat[0].src.items ==
              std::vector<AddressItem>{AddressRange{ip4(192, 168, 1, 0), ip4(192, 168, 1, 255)}});
        REQUIRE_FALSE(config.nat[1].is_snat());
        const Dnat& dnat = std::get<Dnat>(config.nat[1].action);
        CHECK(dnat.to == std::vector<AddressItem>{"servers"});
        CHECK(dnat.ports == PortRange{80, 80});
        CHECK(dnat.schedule == Schedule::round_robin);
        CHECK(config.nat[1].existing == ExistingFlows::keep);
    }
}

TEST_CASE("IPv6, wherever an address can stand") {
    constexpr const char* kText = R"(ports:
  - {name: lan, device: d0, role: inside, addresses: [192.0.2.1/24, 2001:db8:1::1/64]}
  - {name: wan, device: d1, role: outside, addresses: [2001:db8::2/64]}
routes:
  - {to: default, via: "2001:db8::1"}
  - {to: default, via: "fe80::1", out: wan}
  - {to: 2001:db8:2::/48, out: lan}
  - {to: default, out: wan}
groups:
  addresses: {both: [192.0.2.9, 2001:db8:1::9, 2001:db8:1::10-2001:db8:1::1f]}
conntrack: {timeouts: {icmpv6: 20s}}
raw: {prerouting: [{family: ipv6, proto: icmpv6, icmp_type: nd-redirect, action: drop}]}
filter:
  forward:
    rules:
      - {family: ipv6, src: "!both", action: drop}
      - {proto: icmpv6, icmp_type: packet-too-big, action: accept}
      - {dst: ["2001:db8:1::9", "::/0"], proto: tcp, dport: 80, action: accept}
nat:
  - {in: wan, dst: "2001:db8::2", proto: tcp, dport: 80, dnat: {to: "2001:db8:1::9", port: 8080}}
  - {out: wan, src: fd00:1::/48, snat: {prefix: 2001:db8:3::/48}}
  - {in: wan, dst: 2001:db8:3::/48, dnat: {prefix: fd00:1::/48}}
  - {out: wan, family: ipv6, snat: masquerade}
  - {out: wan, snat: {to: [2001:db8:4::/64]}}
)";
    const ConfigResult result = load_config_text(kText, "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    const Config& config = *result.config;
    const IpAddress server = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 9);

    CHECK(config.ports[0].addresses[1] == InterfaceAddress{ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 1), 64});
    REQUIRE(config.routes.size() == 4);
    CHECK(config.routes[0] == Route{IpAddress{}, 0, ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), ""});
    CHECK(config.routes[1] == Route{IpAddress{}, 0, ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1), "wan"});
    CHECK(config.routes[2] == Route{ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0), 48, std::nullopt, "lan"});
    CHECK(config.routes[3] == Route{Ip4{}, 0, std::nullopt, "wan"});  // default without a gateway is IPv4's
    CHECK(config.groups.addresses[0].items[1] == AddressItem{AddressRange{server, server}});
    CHECK(config.conntrack.timeouts.icmpv6 == seconds{20});
    CHECK(config.raw.prerouting[0].icmp_type == 137);
    CHECK(config.filter.forward.rules[0].family == Family::ip6);
    CHECK(config.filter.forward.rules[1].icmp_type == 2);
    const auto& dnat = std::get<Dnat>(config.nat[0].action);
    CHECK(dnat.to == std::vector<AddressItem>{AddressRange{server, server}});
    CHECK(dnat.ports == PortRange{8080, 8080});
    CHECK(std::get<Snat>(config.nat[1].action).prefix == TranslatedPrefix{ip6(0x2001, 0xdb8, 3, 0, 0, 0, 0, 0), 48});
    CHECK(std::get<Snat>(config.nat[1].action).to.empty());
    CHECK(std::get<Dnat>(config.nat[2].action).prefix == TranslatedPrefix{ip6(0xfd00, 1, 0, 0, 0, 0, 0, 0), 48});
    CHECK(config.nat[3].family == Family::ip6);

    const std::string printed = to_yaml(config);
    INFO(printed);
    const ConfigResult again = load_config_text(printed, "printed.yaml");
    INFO(to_string(again.errors));
    REQUIRE(again.ok());
    CHECK(*again.config == config);
}

TEST_CASE("ipv6: auto is what the addresses and routes of the file are") {
    const auto uses = [](const std::string& text) {
        const ConfigResult result = load_config_text(text, "test.yaml");
        INFO(to_string(result.errors));
        REQUIRE(result.ok());
        return uses_ipv6(*result.config);
    };
    const std::string port = "ports: [{name: a, device: d, role: inside, addresses: [192.0.2.1/24";
    CHECK_FALSE(uses(port + "]}]\n"));
    CHECK(uses(port + ", 2001:db8::1/64]}]\n"));
    CHECK(uses(port + "]}]\nroutes: [{to: \"::/0\", via: \"fe80::1\", out: a}]\n"));
    CHECK_FALSE(uses(port + "]}]\nfilter: {input: {rules: [{src: \"2001:db8::1\", action: drop}]}}\n"));
    CHECK(uses(port + "]}]\nipv6: on\n"));
    CHECK_FALSE(uses(port + "]}]\nipv6: off\n"));
}

TEST_CASE("ports alone are a configuration: everything else has a default") {
    const ConfigResult result = load_config_text(kTwoPorts, "test.yaml");
    REQUIRE(result.ok());
    Config expected;
    expected.ports = result.config->ports;
    CHECK(*result.config == expected);
    CHECK(expected.ports[0].tap == "lan");
}

TEST_CASE("negation, lists and single values say what they mean") {
    const ConfigResult result = load_config_text(kTwoPorts + R"(
groups: {addresses: {servers: 192.0.2.1}, ports: {web: 80}}
filter:
  forward:
    rules:
      - {src: "!servers", dst: {not: [servers, 198.51.100.0/24]}, state: new, action: drop}
      - {in: [lan, wan], proto: 17, sport: {not: 53}, dport: [web, 53], action: drop}
      - {proto: any, action: reject}
      - {proto: tcp, action: reject, reject_with: tcp-reset, log: ""}
metrics: {listen: off}
helpers: {ftp: {enabled: no, ports: 2121}}
)",
                                                 "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    const auto& rules = result.config->filter.forward.rules;
    CHECK(rules[0].src == AddressMatch{true, {"servers"}});
    CHECK(rules[0].dst == AddressMatch{true, {"servers", AddressRange{ip4(198, 51, 100, 0), ip4(198, 51, 100, 255)}}});
    CHECK(rules[0].state.new_flow);
    CHECK(rules[1].in.names == std::vector<std::string>{"lan", "wan"});
    CHECK(rules[1].sport == PortMatch{true, {PortRange{53, 53}}});
    CHECK(rules[1].dport == PortMatch{false, {"web", PortRange{53, 53}}});
    CHECK_FALSE(rules[2].proto.has_value());
    CHECK(rules[2].reject_with == RejectWith::port_unreachable);
    CHECK(rules[3].reject_with == RejectWith::tcp_reset);
    CHECK(rules[3].log == "");
    CHECK_FALSE(rules[2].log.has_value());
    CHECK(result.config->metrics.listen.empty());
    CHECK_FALSE(result.config->helpers.ftp.enabled);
    CHECK(result.config->helpers.ftp.ports == std::vector<std::uint16_t>{2121});
}

TEST_CASE("marks: matched and set, whole or some of their bits, and copied") {
    const ConfigResult result = load_config_text(kTwoPorts + R"(
filter:
  forward:
    rules:
      - {state: new, set: {mark: 17, ct_mark: 0x10/0xf0}}
      - {mark: 0x1/0xff, ct_mark: "!2", set: {mark: ct_mark}, action: accept}
      - {ct_mark: {not: 0x10/0x10}, set: {ct_mark: mark/0xff}, action: drop}
nat: [{out: wan, mark: 0, ct_mark: 0XFFFFFFFF, snat: masquerade}]
)",
                                                 "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    const auto& rules = result.config->filter.forward.rules;
    CHECK(rules[0].action == FilterAction::next);
    CHECK(rules[0].set_mark == MarkSet{false, 17, 0xffffffffU});
    CHECK(rules[0].set_ct_mark == MarkSet{false, 0x10, 0xf0});
    CHECK(rules[0].mark.any());
    CHECK(rules[1].action == FilterAction::accept);
    CHECK(rules[1].mark == MarkMatch{false, 1, 0xff});
    CHECK(rules[1].ct_mark == MarkMatch{true, 2, 0xffffffffU});
    CHECK(rules[1].set_mark == MarkSet{true, 0, 0xffffffffU});
    CHECK(rules[1].set_ct_mark.none());
    CHECK(rules[2].ct_mark == MarkMatch{true, 0x10, 0x10});
    CHECK(rules[2].set_ct_mark == MarkSet{true, 0, 0xff});
    CHECK(result.config->nat[0].mark == MarkMatch{false, 0, 0xffffffffU});
    CHECK(result.config->nat[0].ct_mark == MarkMatch{false, 0xffffffffU, 0xffffffffU});
}

TEST_CASE("timeout policies: what differs from the usual timeouts, and the rules that give them to flows") {
    const ConfigResult result = load_config_text(kTwoPorts + R"(
conntrack:
  timeout_policies:
    dns: {proto: udp, unreplied: 5s, replied: 10s}
    web: {proto: tcp, established: 1h, close: 1s}
    tunnel: {proto: gre, unreplied: 1m}
    signalling: {proto: sctp, shutdown_sent: 4s}
    lite: {proto: udplite, replied: 2m}
    vpn: {proto: esp, timeout: 1h}
    rest: {proto: ah, timeout: 2h}
filter: {forward: {rules: [{proto: udp, dport: 53, set: {timeout: dns}}, {proto: tcp, set: {timeout: web}, action: drop}]}}
)",
                                                 "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    const auto& policies = result.config->conntrack.timeout_policies;
    REQUIRE(policies.size() == 7);
    CHECK(policies[0].name == "dns");
    CHECK(policies[0].proto == 17);
    REQUIRE(policies[0].values.size() == 2);
    CHECK(policies[0].values[0] == TimeoutPolicy::Value{&Timeouts::udp, seconds{5}});
    CHECK(policies[0].values[1] == TimeoutPolicy::Value{&Timeouts::udp_stream, seconds{10}});
    CHECK(policies[1].values[1] == TimeoutPolicy::Value{&Timeouts::tcp_close, seconds{1}});
    CHECK(policies[2].values[0] == TimeoutPolicy::Value{&Timeouts::gre, seconds{60}});
    CHECK(policies[3].values[0] == TimeoutPolicy::Value{&Timeouts::sctp_shutdown_sent, seconds{4}});
    CHECK(policies[4].values[0] == TimeoutPolicy::Value{&Timeouts::udplite_stream, seconds{120}});
    CHECK(policies[5].values[0] == TimeoutPolicy::Value{&Timeouts::esp, seconds{3600}});
    CHECK(policies[6].values[0] == TimeoutPolicy::Value{&Timeouts::generic, seconds{7200}});
    const auto& rules = result.config->filter.forward.rules;
    CHECK(rules[0].set_timeout == "dns");
    CHECK(rules[0].action == FilterAction::next);
    CHECK(rules[1].set_timeout == "web");
    CHECK(rules[1].action == FilterAction::drop);
}

TEST_CASE("raw rules: before tracking, of packets that arrive and of those that the box sends") {
    const ConfigResult result = load_config_text(kTwoPorts + R"(
raw:
  prerouting:
    - {in: lan, proto: udp, dport: 53, action: notrack, comment: dns}
    - {proto: icmp, icmp_type: echo-request, set: {mark: 3/0xf}}
    - {mark: 3/0xf, action: accept}
  output: [{out: wan, action: notrack}]
)",
                                                 "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    const Raw& raw = result.config->raw;
    REQUIRE(raw.prerouting.size() == 3);
    CHECK(raw.prerouting[0].action == FilterAction::notrack);
    CHECK(raw.prerouting[0].comment == "dns");
    CHECK(raw.prerouting[1].action == FilterAction::next);
    CHECK(raw.prerouting[1].set_mark == MarkSet{false, 3, 0xf});
    CHECK(raw.prerouting[2].mark == MarkMatch{false, 3, 0xf});
    CHECK(raw.prerouting[2].action == FilterAction::accept);
    REQUIRE(raw.output.size() == 1);
    CHECK(raw.output[0].out.names == std::vector<std::string>{"wan"});
}

TEST_CASE("anchors and aliases stand for the text that they name") {
    const ConfigResult result = load_config_text(kTwoPorts + R"(
filter:
  input: &strict {policy: drop, rules: [{state: [established], action: accept}]}
  output: *strict
)",
                                                 "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    CHECK(result.config->filter.input.policy == ChainPolicy::drop);
    CHECK(result.config->filter.output == result.config->filter.input);
}

TEST_CASE("all errors come at once, in the order of the file") {
    check_bad("", {{"one of each",
                    "ports:\n"
                    "  - {name: lan, device: d0, role: inside, addresses: [192.0.2.1/33]}\n"
                    "  - {name: lan, device: d1, role: sideways}\n"
                    "conntrack: {max: 1, profil: linux}\n"
                    "filter:\n"
                    "  forward:\n"
                    "    policy: perhaps\n"
                    "    rules:\n"
                    "      - {in: wan, dport: 99999, action: accept}\n"
                    "log: {level: info}\n"
                    "log: {level: info}\n",
                    "2:55: ports[0].addresses[0]: the prefix length of '192.0.2.1/33' is not 0..32\n"
                    "3:12: ports[1].name: the name 'lan' is that of ports[0]\n"
                    "3:35: ports[1].role: unknown word 'sideways' (one of inside, outside)\n"
                    "4:18: conntrack.max: 1 is out of range 64..134217728\n"
                    "4:21: conntrack.profil: unknown key 'profil': did you mean 'profile'?\n"
                    "7:13: filter.forward.policy: unknown word 'perhaps' (one of accept, drop)\n"
                    "9:14: filter.forward.rules[0].in: unknown port 'wan': did you mean 'lan'?\n"
                    "9:26: filter.forward.rules[0].dport: 99999 is out of range 0..65535\n"
                    "11:1: log: duplicate key 'log', first on line 10\n"}});
}

TEST_CASE("a flood of errors is counted, not stored") {
    std::string text = kTwoPorts + "routes:\n";
    for (int i = 0; i < 1500; ++i) text += "  - {}\n";
    const ConfigResult result = load_config_text(text, "test.yaml");
    REQUIRE(result.errors.size() == 1001);
    CHECK(to_string(result.errors.back()) == "test.yaml: and 2000 more errors");
}

TEST_CASE("a file that cannot be read says so") {
    CHECK(to_string(load_config_file("/nonexistent/sluice.yaml").errors) ==
          "/nonexistent/sluice.yaml: cannot be read: No such file or directory\n");
    CHECK(to_string(load_config_file("/").errors) == "/: cannot be read: it is a directory\n");
    const ConfigResult endless = load_config_file("/dev/zero");
    CHECK(to_string(endless.errors) == "/dev/zero:1:1: the text is longer than 16 MiB\n");
}

TEST_CASE("a file is named in its errors") {
    const auto path = std::filesystem::temp_directory_path() / ("sluice-load-" + std::to_string(getpid()) + ".yaml");
    std::ofstream{path} << kTwoPorts << "log: {level: loud}\n";
    const ConfigResult result = load_config_file(path);
    std::filesystem::remove(path);
    REQUIRE(result.errors.size() == 1);
    CHECK(result.errors[0] == ConfigError{path.string(), 4, 14, "log.level",
                                          "unknown word 'loud' (one of trace, debug, info, warning, error)"});
}

TEST_CASE("what is printed loads again to the same configuration") {
    const ConfigResult first = load_config_text(kTwoPorts + R"(
  - {name: "y", parent: lan, vlan: 5, role: inside, mtu: 1400, zone: 65535, addresses: [192.0.2.1/31]}
routes: [{to: default, via: 198.51.100.1, out: wan}, {to: 192.0.2.0/25, out: "y"}]
groups: {addresses: {"true": [192.0.2.1-192.0.2.3], all: ["true", 192.0.2.128/25]}, ports: {web: [80, 8000-8080]}}
conntrack:
  timeouts: {udp: 61s, icmp: 2m, generic: 3h}
  timeout_policies: {dns: {proto: udp, replied: 10s, unreplied: 5s}, nine: {proto: tcp, syn_sent: 1m}, x: {proto: 51, timeout: 4s}, y: {proto: sctp, closed: 2s}, z: {proto: gre, replied: 8s}}
filter:
  output:
    policy: drop
    rules:
      - {src: {not: all}, proto: tcp, dport: {not: web}, state: [new, untracked], action: accept, log: "a: #b \"c\" "}
      - {proto: icmp, icmp_type: 200, action: reject, reject_with: admin-prohibited, comment: "null"}
      - {proto: 99, action: drop, comment: "- {x: [~]}"}
      - {proto: udp, dport: 53, set: {timeout: dns, mark: 1}, action: accept}
      - {state: new, set: {mark: 0xf/0xff, ct_mark: mark/0xf0}}
      - {mark: {not: 1/7}, ct_mark: 15, set: {mark: ct_mark}, action: accept}
nat:
  - {out: [wan, lan], mark: "!4", ct_mark: 1/1, snat: {to: masquerade, ports: 2000-3000}}
  - {out: wan, src: "!all", snat: {to: [all, 198.51.100.9]}}
  - {dst: all, proto: udp, dport: 5000-5001, dnat: {to: all, ports: 6000-6001, schedule: source-hash, zone: 65535}}
  - {in: wan, dst: "2001:db8::/48", dnat: {prefix: "fd00::/48", zone: 0}}
raw:
  prerouting: [{in: lan, proto: udp, sport: 53, action: notrack}, {set: {mark: 1}}, {mark: 1, action: drop, log: "x"}]
  output: [{out: wan, icmp_type: 8, proto: icmp, action: accept, comment: c}]
metrics: {listen: off}
control: {socket: "/tmp/with space: and #.sock"}
log: {level: trace}
)",
                                                "test.yaml");
    INFO(to_string(first.errors));
    REQUIRE(first.ok());
    const std::string printed = to_yaml(*first.config);
    INFO(printed);
    const ConfigResult second = load_config_text(printed, "printed.yaml");
    INFO(to_string(second.errors));
    REQUIRE(second.ok());
    CHECK(*second.config == *first.config);
    CHECK(to_yaml(*second.config) == printed);
}

TEST_CASE("two tenants with one network, told apart by zones") {
    const ConfigResult result = load_config_text(R"(
ports:
  - {name: a, device: d0, role: inside, zone: 1, addresses: [10.0.0.1/24, "2001:db8:1::1/64"]}
  - {name: b, device: d1, role: inside, zone: 2, addresses: [10.0.0.1/24, "2001:db8:1::1/64"]}
  - {name: b2, device: d2, role: inside, zone: 2, addresses: [10.0.1.1/24]}
  - {name: wan, device: d3, role: outside, addresses: [203.0.113.1/24]}
routes:
  - {to: 10.9.0.0/16, via: 10.0.0.254, out: a}
  - {to: 10.9.0.0/16, via: 10.0.0.254, out: b}
nat:
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8001, dnat: {to: 10.0.0.5, port: 80, zone: 1}}
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 8002, dnat: {to: 10.0.0.5, port: 80}}
)",
                                                 "test.yaml");
    INFO(to_string(result.errors));
    REQUIRE(result.ok());
    CHECK(zones_of(*result.config) == std::vector<std::uint16_t>{1, 2});
    CHECK(result.config->ports[3].zone == 0);
    CHECK(std::get<Dnat>(result.config->nat[0].action).zone == 1);
    CHECK_FALSE(std::get<Dnat>(result.config->nat[1].action).zone);
}

}  // namespace
}  // namespace sluice::config

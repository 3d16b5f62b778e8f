// One row per condition that a rule may have: a packet that meets it, and packets that miss it by one thing.
#include "dataplane/policy/rule_match.hh"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr PortIndex kLan = 0, kWan = 1, kDmz = 2;
constexpr SetId kServers = 0, kNothing = 1;  // address sets
constexpr SetId kWeb = 0, kEdges = 1;        // port sets
constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17, kGre = 47;

constexpr std::uint64_t bit(PortIndex port) {
    return std::uint64_t{1} << port;
}
constexpr std::uint8_t bits(PacketState state) {
    return static_cast<std::uint8_t>(state);
}

Policy with_sets() {
    Policy policy;
    policy.address_sets = {
        {{ip4(192, 0, 2, 10), ip4(192, 0, 2, 19)}, {ip4(198, 51, 100, 7), ip4(198, 51, 100, 7)}},
        {},
    };
    policy.port_sets = {{{80, 80}, {443, 443}, {8000, 8080}}, {{0, 0}, {65535, 65535}}};
    policy.icmp_type_sets.emplace_back().set(8);
    policy.icmp_type_sets.emplace_back().set(0).set(255);
    return policy;
}

MatchInput packet() {
    MatchInput in;
    in.src = ip4(192, 0, 2, 10);
    in.dst = ip4(203, 0, 113, 5);
    in.sport = 40000;
    in.dport = 80;
    in.proto = kTcp;
    in.in_port = kLan;
    in.out_port = kWan;
    in.state = PacketState::new_flow;
    return in;
}

template <class Change>
MatchInput packet(Change change) {
    MatchInput in = packet();
    change(in);
    return in;
}

template <class Change>
MatchSpec rule(Change change) {
    MatchSpec spec;
    change(spec);
    return spec;
}

FilterRule filter_rule(std::uint32_t number, FilterAction action, MatchSpec match = {}) {
    FilterRule r;
    r.match = match;
    r.action = action;
    r.rule = number;
    return r;
}

}  // namespace

TEST_CASE("a rule without conditions matches every packet") {
    const Policy policy = with_sets();
    const MatchSpec any;
    CHECK(matches(any, packet(), policy));
    for (const std::uint8_t proto : {kIcmp, kUdp, kGre, std::uint8_t{0}, std::uint8_t{255}})
        CHECK(matches(any, packet([&](auto& p) { p.proto = proto; }), policy));
    for (const PortIndex port : {kDmz, kKernelPort, kNoPort})
        CHECK(matches(any, packet([&](auto& p) { p.in_port = p.out_port = port; }), policy));
    for (const auto state :
         {PacketState::established, PacketState::related, PacketState::invalid, PacketState::untracked})
        CHECK(matches(any, packet([&](auto& p) { p.state = state; }), policy));
}

TEST_CASE("each condition takes what it says and leaves the rest") {
    struct Row {
        std::string says;
        MatchSpec spec;
        std::vector<MatchInput> taken, left;
    };
    const std::vector<Row> rows{
        {"in lan",
         rule([](auto& r) { r.in_ports = bit(kLan); }),
         {packet()},
         {packet([](auto& p) { p.in_port = kWan; }), packet([](auto& p) { p.in_port = kKernelPort; }),
          packet([](auto& p) { p.in_port = kNoPort; })}},
        {"in lan or dmz",
         rule([](auto& r) { r.in_ports = bit(kLan) | bit(kDmz); }),
         {packet(), packet([](auto& p) { p.in_port = kDmz; })},
         {packet([](auto& p) { p.in_port = kWan; })}},
        {"in the box",
         rule([](auto& r) { r.in_ports = bit(kKernelPort); }),
         {packet([](auto& p) { p.in_port = kKernelPort; })},
         {packet()}},
        {"in no port at all", rule([](auto& r) { r.in_ports = 0; }), {}, {packet(), packet([](auto& p) {
                                                                              p.in_port = kNoPort;
                                                                          })}},
        {"out wan",
         rule([](auto& r) { r.out_ports = bit(kWan); }),
         {packet()},
         {packet([](auto& p) { p.out_port = kLan; }), packet([](auto& p) { p.out_port = kNoPort; })}},
        {"proto tcp", rule([](auto& r) { r.proto = kTcp; }), {packet()}, {packet([](auto& p) { p.proto = kUdp; })}},
        {"proto 255",
         rule([](auto& r) { r.proto = 255; }),
         {packet([](auto& p) { p.proto = 255; })},
         {packet(), packet([](auto& p) { p.proto = 0; })}},
        {"proto 0", rule([](auto& r) { r.proto = 0; }), {packet([](auto& p) { p.proto = 0; })}, {packet()}},
        {"state established,related",
         rule([](auto& r) {
             r.states = static_cast<std::uint8_t>(bits(PacketState::established) | bits(PacketState::related));
         }),
         {packet([](auto& p) { p.state = PacketState::established; }),
          packet([](auto& p) { p.state = PacketState::related; })},
         {packet(), packet([](auto& p) { p.state = PacketState::invalid; }),
          packet([](auto& p) { p.state = PacketState::untracked; })}},
        {"src servers",
         rule([](auto& r) { r.src = {kServers}; }),
         {packet(), packet([](auto& p) { p.src = ip4(192, 0, 2, 19); }),
          packet([](auto& p) { p.src = ip4(198, 51, 100, 7); })},
         {packet([](auto& p) { p.src = ip4(192, 0, 2, 9); }), packet([](auto& p) { p.src = ip4(192, 0, 2, 20); }),
          packet([](auto& p) { p.src = ip4(0, 0, 0, 0); }), packet([](auto& p) { p.src = ip4(255, 255, 255, 255); })}},
        {"src !servers",
         rule([](auto& r) {
             r.src = {kServers, true};
         }),
         {packet([](auto& p) { p.src = ip4(192, 0, 2, 20); })},
         {packet(), packet([](auto& p) { p.src = ip4(198, 51, 100, 7); })}},
        {"src of an empty group", rule([](auto& r) { r.src = {kNothing}; }), {}, {packet()}},
        {"src !empty group",
         rule([](auto& r) {
             r.src = {kNothing, true};
         }),
         {packet()},
         {}},
        {"dst servers",
         rule([](auto& r) { r.dst = {kServers}; }),
         {packet([](auto& p) { p.dst = ip4(192, 0, 2, 15); })},
         {packet()}},
        {"dport web",
         rule([](auto& r) { r.proto = kTcp, r.dport = {kWeb}; }),
         {packet(), packet([](auto& p) { p.dport = 443; }), packet([](auto& p) { p.dport = 8000; }),
          packet([](auto& p) { p.dport = 8080; })},
         {packet([](auto& p) { p.dport = 79; }), packet([](auto& p) { p.dport = 81; }),
          packet([](auto& p) { p.dport = 7999; }), packet([](auto& p) { p.dport = 8081; }),
          packet([](auto& p) { p.dport = 65535; }), packet([](auto& p) { p.dport = 0; })}},
        {"dport !web",
         rule([](auto& r) {
             r.proto = kTcp, r.dport = {kWeb, true};
         }),
         {packet([](auto& p) { p.dport = 81; })},
         {packet()}},
        {"sport 0 or 65535",
         rule([](auto& r) { r.proto = kTcp, r.sport = {kEdges}; }),
         {packet([](auto& p) { p.sport = 0; }), packet([](auto& p) { p.sport = 65535; })},
         {packet(), packet([](auto& p) { p.sport = 1; }), packet([](auto& p) { p.sport = 65534; })}},
        {"icmp_type echo-request",
         rule([](auto& r) { r.proto = kIcmp, r.icmp_types = 0; }),
         {packet([](auto& p) { p.proto = kIcmp, p.icmp_type = 8; })},
         {packet(), packet([](auto& p) { p.proto = kIcmp, p.icmp_type = 0; })}},
        {"icmp_type 0 or 255",
         rule([](auto& r) { r.proto = kIcmp, r.icmp_types = 1; }),
         {packet([](auto& p) { p.proto = kIcmp, p.icmp_type = 0; }),
          packet([](auto& p) { p.proto = kIcmp, p.icmp_type = 255; })},
         {packet([](auto& p) { p.proto = kIcmp, p.icmp_type = 8; })}},
        {"all conditions at once",
         rule([](auto& r) {
             r.in_ports = bit(kLan), r.out_ports = bit(kWan), r.proto = kTcp, r.src = {kServers};
             r.dst = {kServers, true}, r.dport = {kWeb}, r.states = bits(PacketState::new_flow);
         }),
         {packet()},
         {packet([](auto& p) { p.in_port = kDmz; }), packet([](auto& p) { p.out_port = kDmz; }),
          packet([](auto& p) { p.proto = kUdp; }), packet([](auto& p) { p.src = ip4(192, 0, 2, 1); }),
          packet([](auto& p) { p.dst = ip4(192, 0, 2, 11); }), packet([](auto& p) { p.dport = 22; }),
          packet([](auto& p) { p.state = PacketState::established; })}},
        {"reasons for INVALID, which say that it is",
         rule([](auto& r) { r.invalid_reasons = 1U << static_cast<unsigned>(InvalidReason::tcp_ack); }),
         {packet([](auto& p) {
             p.state = PacketState::invalid;
             p.invalid_reason = InvalidReason::tcp_ack;
         })},
         {packet([](auto& p) {
              p.state = PacketState::invalid;
              p.invalid_reason = InvalidReason::tcp_reset;
          }),
          packet([](auto& p) { p.invalid_reason = InvalidReason::tcp_ack; })}},
    };
    const Policy policy = with_sets();
    for (const Row& row : rows) {
        INFO(row.says);
        for (const MatchInput& in : row.taken) CHECK(matches(row.spec, in, policy));
        for (const MatchInput& in : row.left) CHECK_FALSE(matches(row.spec, in, policy));
    }
}

TEST_CASE("facts of a tuple: ports in host order; ICMP has a type and no ports") {
    const MatchInput tcp =
        MatchInput::of(port_key(IpProto::tcp, ip4(192, 0, 2, 1), be16(40000), ip4(203, 0, 113, 9), be16(443)));
    CHECK(tcp.src == ip4(192, 0, 2, 1));
    CHECK(tcp.dst == ip4(203, 0, 113, 9));
    CHECK(tcp.sport == 40000);
    CHECK(tcp.dport == 443);
    CHECK(tcp.proto == kTcp);
    const MatchInput ping = MatchInput::of(icmp_key(ip4(192, 0, 2, 1), ip4(203, 0, 113, 9), 8, 0, be16(77)));
    CHECK(ping.icmp_type == 8);
    CHECK(ping.sport == 0);
    CHECK(ping.dport == 0);
    CHECK(ping.proto == kIcmp);
}

TEST_CASE("the first rule that matches decides, else the policy of the chain") {
    Policy policy = with_sets();
    FilterChain& forward = policy.filter[static_cast<std::size_t>(Chain::forward)];
    forward.rules = {
        filter_rule(0, FilterAction::drop, rule([](auto& r) { r.in_ports = bit(kDmz); })),
        filter_rule(1, FilterAction::accept, rule([](auto& r) { r.proto = kTcp, r.dport = {kWeb}; })),
        filter_rule(2, FilterAction::reject, rule([](auto& r) { r.proto = kTcp; })),
        filter_rule(3, FilterAction::accept, rule([](auto& r) { r.proto = kTcp; })),
        filter_rule(4, FilterAction::accept, rule([](auto& r) { r.proto = kUdp; })),
    };
    forward.rules[2].reject_with = RejectWith::tcp_reset;
    forward.rules[4].log = 9;
    forward.policy = FilterAction::drop;
    forward.policy_rule = 5;
    policy.filter[static_cast<std::size_t>(Chain::input)].policy_rule = 6;

    const auto judged = [&](Chain chain, MatchInput in) {
        return judge(policy, chain, in, [](const FilterRule&) { FAIL("every rule decides"); });
    };
    const auto forwarded = [&](const MatchInput& in) { return judged(Chain::forward, in); };
    CHECK(forwarded(packet()).rule == 1);
    CHECK(forwarded(packet()).action == FilterAction::accept);
    CHECK(forwarded(packet()).cacheable);
    CHECK(forwarded(packet([](auto& p) { p.in_port = kDmz; })).rule == 0);
    const FilterVerdict ssh = forwarded(packet([](auto& p) { p.dport = 22; }));
    CHECK(ssh.rule == 2);
    CHECK(ssh.action == FilterAction::reject);
    CHECK(ssh.reject_with == RejectWith::tcp_reset);
    const FilterVerdict logged = forwarded(packet([](auto& p) { p.proto = kUdp; }));
    CHECK(logged.rule == 4);
    CHECK(logged.log == 9);
    CHECK_FALSE(logged.cacheable);
    const FilterVerdict rest = forwarded(packet([](auto& p) { p.proto = kGre; }));
    CHECK(rest.rule == 5);
    CHECK(rest.action == FilterAction::drop);
    CHECK(rest.log == -1);
    // Chains are separate.
    CHECK(judged(Chain::input, packet()).rule == 6);
    CHECK(judged(Chain::input, packet()).action == FilterAction::accept);
}

TEST_CASE("marks: some of their bits, all, or not these") {
    const MarkMatch low{0x12, 0xff, false}, whole{0x12, 0xffffffffU, false}, other{0x12, 0xff, true};
    CHECK(low.matches(0x12));
    CHECK(low.matches(0xab12));
    CHECK_FALSE(low.matches(0x13));
    CHECK(whole.matches(0x12));
    CHECK_FALSE(whole.matches(0xab12));
    CHECK_FALSE(other.matches(0xab12));
    CHECK(other.matches(0xab13));
    CHECK(MarkMatch{}.matches(7));

    CHECK(MarkSet{0x10, 0xf0, false}.of(0xabcd, 0x55) == 0xab1d);
    CHECK(MarkSet{0, 0xf0, true}.of(0xabcd, 0x55) == 0xab5d);
    CHECK(MarkSet{}.of(0xabcd, 0x55) == 0xabcd);
}

TEST_CASE("a rule sets the packet's mark first, then the flow's") {
    FilterRule rule;
    rule.set_mark = {7, 0xffffffffU, false};
    rule.set_ct_mark = {0, 0xf, true};
    MatchInput in;
    in.marks = {1, 0x20};
    apply_sets(rule, in);
    CHECK(in.marks.packet == 7);
    CHECK(in.marks.flow == 0x27);
    in.has_flow = false;
    rule.set_mark.value = 3;
    apply_sets(rule, in);
    CHECK(in.marks.packet == 3);
    CHECK(in.marks.flow == 0x27);
}

TEST_CASE("the first NAT rule that matches, or none") {
    const Policy policy = with_sets();
    std::vector<NatRule> rules(3);
    rules[0].match = rule([](auto& r) { r.out_ports = bit(kDmz); });
    rules[1].match = rule([](auto& r) { r.src = {kServers}; });
    rules[2].match = rule([](auto& r) { r.out_ports = bit(kWan); });
    CHECK(first_match(rules, {}, packet(), policy) == &rules[1]);
    CHECK(first_match(rules, {}, packet([](auto& p) { p.src = ip4(192, 0, 2, 99); }), policy) == &rules[2]);
    CHECK(first_match(rules, {}, packet([](auto& p) { p.out_port = kDmz; }), policy) == &rules[0]);
    rules.pop_back();
    CHECK(first_match(rules, {}, packet([](auto& p) { p.src = ip4(192, 0, 2, 99); }), policy) == nullptr);
    CHECK(first_match({}, {}, packet(), policy) == nullptr);
}

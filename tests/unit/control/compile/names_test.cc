#include "control/compile/names.hh"

#include <set>

#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("a filter rule reads as its author wrote it") {
    CHECK(compile::text_of(config::FilterRule{}) == "accept");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.in.names = {"lan", "dmz"}, r.out.names = {"wan"}, r.src.items = {group("clients")}, r.proto = 6;
              r.dport.items = {port_group("web"), port(8000, 8010)}, r.state.new_flow = true, r.comment = "web out";
          })) == "in lan,dmz out wan src clients proto tcp dport web,8000-8010 state new accept");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.dst.items = {net(192, 0, 2, 0, 24), net(198, 51, 100, 7, 32)}, r.dst.negated = true, r.proto = 17;
              r.sport.items = {port(53)}, r.sport.negated = true, r.action = config::FilterAction::drop;
              r.log = "odd ";
          })) == "dst !192.0.2.0/24,198.51.100.7 proto udp sport !53 drop log \"odd \"");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.state.established = r.state.related = r.state.invalid = r.state.untracked = true;
          })) == "state established,related,invalid,untracked accept");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.proto = 1, r.icmp_type = 8, r.action = config::FilterAction::reject;
              r.reject_with = config::RejectWith::admin_prohibited;
          })) == "proto icmp icmp_type echo-request reject with admin-prohibited");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.family = config::Family::ip6, r.dst.items = {net6(0, 32)}, r.proto = 58, r.icmp_type = 128;
          })) == "family ipv6 dst 2001:db8::/32 proto icmpv6 icmp_type echo-request accept");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.proto = 6, r.action = config::FilterAction::reject, r.reject_with = config::RejectWith::tcp_reset;
          })) == "proto tcp reject with tcp-reset");
    CHECK(compile::text_of(filter_rule([](auto& r) {
              r.mark = {true, 1, 0xff}, r.ct_mark = {false, 0x10, 0xffffffffU}, r.set_mark = {true, 0, 0xf0};
              r.set_ct_mark = {false, 26, 0xffffffffU}, r.action = config::FilterAction::next;
          })) == "mark !0x1/0xff ct_mark 0x10 set mark ct_mark/0xf0 set ct_mark 0x1a");
    CHECK(compile::text_of(filter_rule([](auto& r) { r.proto = 17, r.set_timeout = "dns"; })) ==
          "proto udp set timeout dns accept");
}

TEST_CASE("a NAT rule reads as its author wrote it") {
    CHECK(compile::text_of(nat_rule([](auto& r) {
              r.out.names = {"wan"}, r.src.items = {net(192, 0, 2, 0, 24)}, r.action = config::Snat{true, {}, {}};
          })) == "out wan src 192.0.2.0/24 snat masquerade");
    CHECK(compile::text_of(nat_rule([](auto& r) {
              r.out.names = {"wan"}, r.src.items = {net6(0, 48)};
              r.action = config::Snat{false, {}, {}, config::TranslatedPrefix{ip6(0xfd00, 0, 0, 0, 0, 0, 0, 0), 48}};
          })) == "out wan src 2001:db8::/48 snat prefix fd00::/48");
    CHECK(
        compile::text_of(nat_rule([](auto& r) {
            r.in.names = {"wan"}, r.dst.items = {net6(0, 48)};
            r.action = config::Dnat{
                {}, {}, config::Schedule::round_robin, config::TranslatedPrefix{ip6(0xfd00, 0, 0, 0, 0, 0, 0, 0), 48}};
        })) == "in wan dst 2001:db8::/48 dnat prefix fd00::/48");
    CHECK(compile::text_of(nat_rule([](auto& r) {
              r.out.names = {"wan"};
              r.action = config::Snat{
                  false, {range(ip4(203, 0, 113, 1), ip4(203, 0, 113, 9)), group("more")}, PortRange{2000, 2999}};
          })) == "out wan snat to 203.0.113.1-203.0.113.9,more ports 2000-2999");
    CHECK(compile::text_of(nat_rule([](auto& r) {
              r.in.names = {"wan"}, r.dst.items = {net(203, 0, 113, 1, 32)}, r.proto = 6, r.dport.items = {port(8080)};
              r.action = config::Dnat{{group("servers")}, PortRange{80, 80}, config::Schedule::source_hash};
          })) == "in wan dst 203.0.113.1 proto tcp dport 8080 dnat to servers port 80 schedule source-hash");
}

TEST_CASE("the zone of a target is part of what a rule does") {
    const auto rule = [](std::optional<std::uint16_t> zone) {
        return nat_rule([&](auto& r) {
            r.in.names = {"wan"};
            r.action = config::Dnat{{group("servers")}, {}, config::Schedule::round_robin, {}, zone};
        });
    };
    CHECK(compile::text_of(rule(7)) == "in wan dnat to servers zone 7");
    CHECK(compile::text_of(rule({})) == "in wan dnat to servers");
}

TEST_CASE("identity: what a rule does and where, not what is said about it") {
    const auto rule = filter_rule([](auto& r) { r.proto = 6, r.dport.items = {port(80)}; });
    const auto id = [](const config::FilterRule& r, Chain chain = Chain::forward, std::uint32_t number = 1) {
        return compile::name_rule(chain, number, r).identity;
    };
    CHECK(id(rule) == id(rule, Chain::forward, 9));
    CHECK(id(rule) != id(rule, Chain::input));
    auto other = rule;
    other.comment = "web";
    other.log = "web ";
    CHECK(id(rule) == id(other));
    other = rule;
    other.dport.items = {port(81)};
    CHECK(id(rule) != id(other));
    other = rule;
    other.action = config::FilterAction::drop;
    CHECK(id(rule) != id(other));

    auto nat = nat_rule([](auto& r) { r.out.names = {"wan"}, r.action = config::Snat{true, {}, {}}; });
    const auto before = compile::name_rule(1, nat).identity;
    nat.existing = config::ExistingFlows::kill;
    nat.comment = "out";
    CHECK(compile::name_rule(2, nat).identity == before);
    CHECK(compile::name_policy(Chain::input, config::ChainPolicy::drop).identity !=
          compile::name_policy(Chain::input, config::ChainPolicy::accept).identity);
}

TEST_CASE("rules that say the same are told apart by their order, and stay so when another comes between") {
    config::Config config = three_ports();
    const auto twice = filter_rule([](auto& r) { r.proto = 6; });
    config.filter.forward.rules = {twice, twice, twice};
    const auto first = compile_policy(config, kOneWorker, 1);
    std::set<std::uint64_t> identities;
    for (const RuleName& rule : first.names.rules) identities.insert(rule.identity);
    CHECK(identities.size() == first.names.rules.size());
    CHECK_FALSE(identities.contains(0));

    config.filter.forward.rules.insert(config.filter.forward.rules.begin() + 1,
                                       filter_rule([](auto& r) { r.proto = 17; }));
    const auto second = compile_policy(config, kOneWorker, 2);
    CHECK(second.names.rules[0].identity == first.names.rules[0].identity);
    CHECK(second.names.rules[2].identity == first.names.rules[1].identity);
    CHECK(second.names.rules[3].identity == first.names.rules[2].identity);
    CHECK_FALSE(identities.contains(second.names.rules[1].identity));
}

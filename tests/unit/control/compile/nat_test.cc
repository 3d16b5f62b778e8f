#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr std::uint64_t kAny = ~std::uint64_t{0};

NatRule only_rule(config::NatRule rule, config::Groups groups = {}) {
    config::Config config = three_ports();
    config.groups = std::move(groups);
    config.nat = {std::move(rule)};
    const auto compiled = compile_policy(config, kOneWorker, 1);
    REQUIRE(compiled.policy->snat.size() + compiled.policy->dnat.size() == 1);
    const NatRule& made = compiled.policy->snat.empty() ? compiled.policy->dnat[0] : compiled.policy->snat[0];
    CHECK(made.identity == compiled.names.rules[made.rule].identity);
    CHECK(made.identity != 0);
    return made;
}

}  // namespace

TEST_CASE("masquerade: the address is chosen later, by the exit") {
    const NatRule rule = only_rule(nat_rule([](auto& r) {
        r.out.names = {"wan"}, r.src.items = {net(192, 0, 2, 0, 24)}, r.action = config::Snat{true, {}, {}};
    }));
    CHECK_FALSE(rule.dnat);
    CHECK(rule.snat == SnatKind::masquerade);
    CHECK(rule.match.out_ports == 0b010);
    CHECK(rule.match.in_ports == kAny);
    CHECK(rule.pool.size == 0);
    CHECK_FALSE(rule.has_ports);
    CHECK(rule.existing == ExistingFlows::keep);
}

TEST_CASE("SNAT to addresses, a range and a group, as one pool in the order of the file") {
    const config::Groups groups{{{"pool", {net(203, 0, 113, 64, 30), net(203, 0, 113, 9, 32)}}}, {}};
    const NatRule rule = only_rule(nat_rule([](auto& r) {
                                       r.out.names = {"wan", "dmz"};
                                       r.action = config::Snat{false,
                                                               {net(203, 0, 113, 80, 32), group("pool"),
                                                                range(ip4(203, 0, 113, 1), ip4(203, 0, 113, 3))},
                                                               PortRange{2000, 2999}};
                                       r.existing = config::ExistingFlows::rebind;
                                   }),
                                   groups);
    CHECK(rule.snat == SnatKind::addresses);
    CHECK(rule.match.out_ports == 0b110);
    CHECK(rule.pool.size == 9);
    CHECK(rule.pool.at(0) == ip4(203, 0, 113, 80));
    CHECK(rule.pool.at(1) == ip4(203, 0, 113, 64));
    CHECK(rule.pool.at(4) == ip4(203, 0, 113, 67));
    CHECK(rule.pool.at(5) == ip4(203, 0, 113, 9));
    CHECK(rule.pool.at(8) == ip4(203, 0, 113, 3));
    CHECK(rule.has_ports);
    CHECK(rule.ports == PortRange{2000, 2999});
    CHECK_FALSE(rule.shift_ports);
    CHECK(rule.existing == ExistingFlows::rebind);
}

TEST_CASE("DNAT to one address and port") {
    const NatRule rule = only_rule(nat_rule([](auto& r) {
        r.in.names = {"wan"}, r.dst.items = {net(203, 0, 113, 1, 32)}, r.proto = 6, r.dport.items = {port(8080)};
        r.action = config::Dnat{{net(192, 0, 2, 10, 32)}, PortRange{80, 80}, config::Schedule::source_hash};
        r.existing = config::ExistingFlows::kill;
    }));
    CHECK(rule.dnat);
    CHECK(rule.snat == SnatKind::none);
    CHECK(rule.match.in_ports == 0b010);
    CHECK(rule.match.out_ports == kAny);  // not routed yet
    CHECK(rule.match.proto == 6);
    CHECK(rule.pool.size == 1);
    CHECK(rule.has_ports);
    CHECK(rule.ports == PortRange{80, 80});
    CHECK_FALSE(rule.shift_ports);
    CHECK(rule.schedule == Schedule::source_hash);
    CHECK(rule.existing == ExistingFlows::kill);
}

TEST_CASE("DNAT that keeps the port, to several targets, never asks for an exit") {
    const NatRule rule = only_rule(nat_rule([](auto& r) {
        r.out.names = {"lan"};  // the loader refuses this; a first packet could not meet it
        r.action = config::Dnat{{net(192, 0, 2, 10, 31)}, {}, config::Schedule::random};
    }));
    CHECK(rule.match.out_ports == kAny);
    CHECK(rule.pool.size == 2);
    CHECK_FALSE(rule.has_ports);
    CHECK(rule.schedule == Schedule::random);
    CHECK_FALSE(rule.zone);
}

TEST_CASE("DNAT into a zone") {
    const NatRule rule = only_rule(nat_rule([](auto& r) {
        r.action = config::Dnat{{net(192, 0, 2, 10, 32)}, {}, config::Schedule::round_robin, {}, 7};
    }));
    CHECK(rule.zone == 7);
}

TEST_CASE("DNAT of a range of ports shifts it; widths that differ are refused") {
    const auto shift = [](config::PortItem matched, PortRange to, bool negated = false) {
        return nat_rule([&](auto& r) {
            r.proto = 17, r.dport.items = {matched}, r.dport.negated = negated;
            r.action = config::Dnat{{net(192, 0, 2, 10, 32)}, to, config::Schedule::round_robin};
        });
    };
    const NatRule rule = only_rule(shift(port(8000, 8010), {9000, 9010}));
    CHECK(rule.shift_ports);
    CHECK(rule.shift_from == 8000);
    CHECK(rule.ports == PortRange{9000, 9010});
    CHECK_THROWS_AS(only_rule(shift(port(8000, 8009), {9000, 9010})), CompileError);
    CHECK_THROWS_AS(only_rule(shift(port(8000, 8010), {9000, 9010}, true)), CompileError);
    CHECK_THROWS_AS(only_rule(nat_rule([](auto& r) {
                        r.action = config::Dnat{{net(192, 0, 2, 1, 32)}, PortRange{1, 2}, config::Schedule::random};
                    })),
                    CompileError);
}

TEST_CASE("a pool without any address is refused by the place of its rule") {
    config::Config config = three_ports();
    config.groups.addresses = {{"empty", {}}};
    config.nat = {nat_rule([](auto& r) {
                      r.out.names = {"wan"}, r.action = config::Snat{true, {}, {}};
                  }),
                  nat_rule([](auto& r) {
                      r.out.names = {"wan"}, r.action = config::Snat{false, {group("empty")}, {}};
                  })};
    CHECK_THROWS_WITH(compile_policy(config, kOneWorker, 1), Catch::StartsWith("nat[1]: no address"));
    config.nat.pop_back();
    CHECK_NOTHROW(compile_policy(config, kOneWorker, 1));
}

TEST_CASE("pools of IPv6, whose size may go beyond what can be counted") {
    const NatRule rule = only_rule(nat_rule([](auto& r) {
        r.out.names = {"wan"}, r.action = config::Snat{false, {net6(16, 124), net6(0, 64)}, {}};
    }));
    CHECK(rule.snat == SnatKind::addresses);
    CHECK(rule.match.family == Family::ip6);
    CHECK(rule.pool.size == std::uint64_t{1} << 62);
    CHECK(rule.pool.at(15) == six(31));
    CHECK(rule.pool.at(16) == six(0));
    CHECK(rule.pool.at(16 + 0x1234) == six(0x1234));
}

TEST_CASE("a prefix in place of another") {
    const IpAddress inside = ip6(0xfd00, 1, 2, 0, 0, 0, 0, 0);
    const NatRule out = only_rule(nat_rule([&](auto& r) {
        r.out.names = {"wan"}, r.src.items = {AddressRange::prefix(inside, 48)};
        r.action = config::Snat{false, {}, {}, config::TranslatedPrefix{six(0), 48}};
    }));
    CHECK(out.snat == SnatKind::prefix);
    CHECK_FALSE(out.dnat);
    CHECK(out.prefix_length == 48);
    CHECK(out.match.family == Family::ip6);
    REQUIRE(out.pool.ranges.size() == 1);
    CHECK(out.pool.ranges[0] == AddressRange::prefix(six(0), 48));
    const NatRule in = only_rule(nat_rule([&](auto& r) {
        r.in.names = {"wan"}, r.dst.items = {net6(0, 48)};
        r.action = config::Dnat{{}, {}, config::Schedule::round_robin, config::TranslatedPrefix{inside, 48}};
    }));
    CHECK(in.dnat);
    CHECK(in.snat == SnatKind::none);
    CHECK(in.prefix_length == 48);
    CHECK(in.pool.ranges[0].first == inside);
    CHECK(in.match.family == Family::ip6);
}

TEST_CASE("masquerade is for both families, unless the rule says of which it is") {
    const auto family = [](auto change) {
        return only_rule(nat_rule([&](auto& r) {
                   r.out.names = {"wan"}, r.action = config::Snat{true, {}, {}};
                   change(r);
               }))
            .match.family;
    };
    CHECK(family([](auto&) {}) == Family::any);
    CHECK(family([](auto& r) { r.family = config::Family::ip4; }) == Family::ip4);
    CHECK(family([](auto& r) { r.src = {true, {net6(0, 64)}}; }) == Family::ip6);
    CHECK(family([](auto& r) { r.src.items = {net6(0, 64), net(192, 0, 2, 0, 24)}; }) == Family::any);
}

TEST_CASE("a rule keeps its gauge of live mappings when a reload makes its pool another one") {
    const auto rule = [](unsigned last_port, const char* out) {
        return nat_rule([&](auto& r) {
            r.out.names = {out}, r.src.items = {net(192, 0, 2, 0, 24)};
            r.action =
                config::Snat{false, {net(203, 0, 113, 50, 32)}, PortRange{5000, static_cast<std::uint16_t>(last_port)}};
        });
    };
    config::Config config = three_ports();
    config.nat = {rule(5003, "wan"), rule(5003, "dmz"), rule(5003, "wan")};
    const auto before = compile_policy(config, kOneWorker, 1);
    REQUIRE(before.policy->snat.size() == 3);
    CHECK(before.policy->snat[0].gauge != before.policy->snat[2].gauge);
    config.nat = {rule(5001, "dmz"), rule(5001, "wan"), rule(5001, "wan")};
    const auto after = compile_policy(config, kOneWorker, 2, {}, before.names.nat_gauges);
    REQUIRE(after.policy->snat.size() == 3);
    CHECK(after.policy->snat[0].gauge == before.policy->snat[1].gauge);
    CHECK(after.policy->snat[1].gauge == before.policy->snat[0].gauge);
    CHECK(after.policy->snat[2].gauge == before.policy->snat[2].gauge);
    CHECK(after.policy->snat[0].identity != before.policy->snat[1].identity);
}

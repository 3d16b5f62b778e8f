#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr std::uint64_t kAny = ~std::uint64_t{0};

const FilterChain& forward_of(const CompiledPolicy& compiled) {
    return compiled.policy->chain(Chain::forward);
}

}  // namespace

TEST_CASE("an empty configuration: three chain policies that accept, and nothing else") {
    const auto compiled = compile_policy(three_ports(), {3, 1000, 100}, 7);
    const Policy& policy = *compiled.policy;
    CHECK(policy.generation == 7);
    CHECK(policy.rule_count == 3);
    for (std::uint32_t chain = 0; chain < kChainCount; ++chain) {
        CHECK(policy.filter[chain].rules.empty());
        CHECK(policy.filter[chain].policy == FilterAction::accept);
        CHECK(policy.filter[chain].policy_rule == chain);
    }
    CHECK(policy.address_sets.empty());
    CHECK(policy.log_prefixes.empty());
    REQUIRE(policy.counters.size() == 3);
    for (unsigned worker = 0; worker < 3; ++worker) {
        policy.counter(worker, 2).packets.add(worker + 1);
        CHECK(policy.counter(worker, 2).packets.get() == worker + 1);
    }
}

TEST_CASE("rules are numbered: input, forward, output, NAT in the order of the file, chain policies") {
    config::Config config = three_ports();
    config.filter.input.rules.resize(2);
    config.filter.forward.rules.resize(1);
    config.filter.output.rules.resize(1);
    config.filter.forward.policy = config::ChainPolicy::drop;
    const auto snat = nat_rule([](auto& r) { r.out.names = {"wan"}, r.action = config::Snat{true, {}, {}}; });
    const auto dnat = nat_rule([](auto& r) {
        r.in.names = {"wan"}, r.action = config::Dnat{{net(192, 0, 2, 1, 32)}, {}, config::Schedule::round_robin};
    });
    config.nat = {snat, dnat, snat};
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const Policy& p = *compiled.policy;
    CHECK(p.chain(Chain::input).rules[1].rule == 1);
    CHECK(p.chain(Chain::forward).rules[0].rule == 2);
    CHECK(p.chain(Chain::output).rules[0].rule == 3);
    REQUIRE(p.snat.size() == 2);
    REQUIRE(p.dnat.size() == 1);
    CHECK(p.snat[0].rule == 4);
    CHECK(p.dnat[0].rule == 5);
    CHECK(p.snat[1].rule == 6);
    CHECK(p.chain(Chain::input).policy_rule == 7);
    CHECK(p.chain(Chain::forward).policy_rule == 8);
    CHECK(p.chain(Chain::output).policy_rule == 9);
    CHECK(p.chain(Chain::forward).policy == FilterAction::drop);
    CHECK(p.rule_count == 10);

    const auto& names = compiled.names.rules;
    REQUIRE(names.size() == 10);
    CHECK(names[1].chain == Chain::input);
    CHECK(names[1].number == 2);
    CHECK(names[2].number == 1);
    CHECK(names[4].kind == RuleKind::masquerade);
    CHECK(names[4].number == 1);
    CHECK(names[5].kind == RuleKind::dnat);
    CHECK(names[6].number == 3);
    CHECK(names[8].kind == RuleKind::chain_policy);
    CHECK(names[8].chain == Chain::forward);
    CHECK(names[8].number == 0);
    CHECK(names[8].text == "policy drop");
}

TEST_CASE("raw rules are numbered behind NAT and have names of their own") {
    config::Config config = three_ports();
    config.filter.forward.rules.resize(1);
    config.nat = {nat_rule([](auto& r) { r.out.names = {"wan"}, r.action = config::Snat{true, {}, {}}; })};
    config.raw.prerouting = {
        filter_rule([](auto& r) { r.in.names = {"wan"}, r.action = config::FilterAction::notrack; }),
        filter_rule([](auto& r) {
            r.set_mark = {false, 5, 0xff}, r.action = config::FilterAction::next;
        })};
    config.raw.output = {filter_rule([](auto& r) { r.action = config::FilterAction::drop, r.log = "out "; })};
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const Policy& p = *compiled.policy;
    CHECK(p.has_raw());
    REQUIRE(p.raw.size() == 2);
    CHECK(p.raw[0].rule == 2);
    CHECK(p.raw[0].action == FilterAction::notrack);
    CHECK(p.raw[1].rule == 3);
    CHECK(p.raw[1].set_mark.of(0xab00, 0) == 0xab05);
    CHECK(p.raw[1].action == FilterAction::next);
    REQUIRE(p.raw_output.size() == 1);
    CHECK(p.raw_output[0].rule == 4);
    CHECK(p.raw_output[0].match.in_ports == kAny);
    CHECK(p.raw_output[0].log == 0);
    CHECK(p.log_prefixes.size() == 1);
    CHECK(p.chain(Chain::input).policy_rule == 5);
    const auto& names = compiled.names.rules;
    CHECK(names[2].text == "in wan notrack");
    CHECK(name_of(names[2].chain) == "raw");
    CHECK(names[3].number == 2);
    CHECK(name_of(names[4].chain) == "raw_output");
    CHECK_FALSE(compile_policy(three_ports(), kOneWorker, 1).policy->has_raw());
}

TEST_CASE("ports become bits; one side of the box's own chains takes any") {
    config::Config config = three_ports();
    const auto both = filter_rule([](auto& r) { r.in.names = {"lan", "dmz"}, r.out.names = {"wan"}; });
    config.filter.input.rules = config.filter.forward.rules = config.filter.output.rules = {both};
    config.filter.forward.rules.emplace_back();
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const Policy& p = *compiled.policy;
    CHECK(p.chain(Chain::forward).rules[0].match.in_ports == 0b101);
    CHECK(p.chain(Chain::forward).rules[0].match.out_ports == 0b010);
    CHECK(p.chain(Chain::input).rules[0].match.in_ports == 0b101);
    CHECK(p.chain(Chain::input).rules[0].match.out_ports == kAny);
    CHECK(p.chain(Chain::output).rules[0].match.in_ports == kAny);
    CHECK(p.chain(Chain::output).rules[0].match.out_ports == 0b010);
    CHECK(p.chain(Chain::forward).rules[1].match.in_ports == kAny);
    CHECK(p.chain(Chain::forward).rules[1].match.out_ports == kAny);
}

TEST_CASE("states, protocol, ICMP type, action and answer") {
    config::Config config = three_ports();
    config.filter.forward.rules = {
        filter_rule([](auto& r) { r.state.established = r.state.related = true; }),
        filter_rule([](auto& r) { r.state.invalid = r.state.new_flow = r.state.untracked = true; }),
        filter_rule([](auto& r) { r.proto = 1, r.icmp_type = 8, r.action = config::FilterAction::drop; }),
        filter_rule([](auto& r) { r.proto = 1, r.icmp_type = 0, r.action = config::FilterAction::reject; }),
        filter_rule([](auto& r) {
            r.proto = 1, r.icmp_type = 8, r.action = config::FilterAction::reject;
            r.reject_with = config::RejectWith::admin_prohibited;
        }),
        filter_rule([](auto& r) {
            r.proto = 6, r.action = config::FilterAction::reject, r.reject_with = config::RejectWith::tcp_reset;
        }),
    };
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const auto& rules = forward_of(compiled).rules;
    CHECK(rules[0].match.states == (2 | 4));
    CHECK(rules[0].match.proto == -1);
    CHECK(rules[0].match.icmp_types == -1);
    CHECK(rules[0].action == FilterAction::accept);
    CHECK(rules[1].match.states == (1 | 8 | 16));
    CHECK(rules[2].match.states == 0xff);
    CHECK(rules[2].match.proto == 1);
    CHECK(rules[2].action == FilterAction::drop);
    CHECK(rules[3].action == FilterAction::reject);
    CHECK(rules[3].reject_with == RejectWith::port_unreachable);
    CHECK(rules[4].reject_with == RejectWith::admin_prohibited);
    CHECK(rules[5].reject_with == RejectWith::tcp_reset);
    REQUIRE(compiled.policy->icmp_type_sets.size() == 2);  // echo-request is there once
    CHECK(rules[2].match.icmp_types == rules[4].match.icmp_types);
    const auto& echo = compiled.policy->icmp_type_sets[static_cast<std::size_t>(rules[2].match.icmp_types)];
    CHECK(echo.count() == 1);
    CHECK(echo.test(8));
}

TEST_CASE("a group is one set, merged and in order, however many rules and ways lead to it") {
    config::Config config = three_ports();
    config.groups.addresses = {
        {"inner", {range(ip4(192, 0, 2, 30), ip4(192, 0, 2, 39)), net(192, 0, 2, 10, 32)}},
        {"outer", {group("inner"), range(ip4(192, 0, 2, 11), ip4(192, 0, 2, 12)), net(192, 0, 2, 35, 32)}},
        {"empty", {}},
    };
    config.groups.ports = {{"web", {port(443), port(8000, 8080), port(80), port(79), port(8080, 9000)}}};
    config.filter.forward.rules = {
        filter_rule([](auto& r) { r.src.items = {group("outer")}; }),
        filter_rule([](auto& r) { r.dst.items = {group("outer")}, r.dst.negated = true; }),
        filter_rule([](auto& r) {  // the same addresses, written out
            r.src.items = {range(ip4(192, 0, 2, 10), ip4(192, 0, 2, 12)),
                           range(ip4(192, 0, 2, 30), ip4(192, 0, 2, 39))};
        }),
        filter_rule([](auto& r) { r.src.items = {group("inner")}, r.dst.items = {group("empty")}; }),
        filter_rule([](auto& r) { r.proto = 6, r.dport.items = {port_group("web")}; }),
        filter_rule([](auto& r) { r.proto = 17, r.sport.items = {port_group("web")}, r.sport.negated = true; }),
    };
    const auto compiled = compile_policy(config, kOneWorker, 1);
    const Policy& p = *compiled.policy;
    const auto& rules = forward_of(compiled).rules;
    REQUIRE(p.address_sets.size() == 3);
    const SetId outer = rules[0].match.src.set;
    REQUIRE(outer < 3);
    CHECK(p.address_sets[outer] ==
          AddressSet{{ip4(192, 0, 2, 10), ip4(192, 0, 2, 12)}, {ip4(192, 0, 2, 30), ip4(192, 0, 2, 39)}});
    CHECK_FALSE(rules[0].match.src.negated);
    CHECK(rules[0].match.dst.set == kAnySet);
    CHECK(rules[1].match.dst.set == outer);
    CHECK(rules[1].match.dst.negated);
    CHECK(rules[2].match.src.set == outer);
    CHECK(rules[3].match.src.set != outer);
    CHECK(p.address_sets[rules[3].match.dst.set].empty());
    REQUIRE(p.port_sets.size() == 1);
    CHECK(p.port_sets[0] == PortSet{{79, 80}, {443, 443}, {8000, 9000}});
    CHECK(rules[4].match.dport.set == 0);
    CHECK(rules[5].match.sport.set == 0);
    CHECK(rules[5].match.sport.negated);
}

TEST_CASE("a thousand rules that name a large group share its one set") {
    config::Config config = three_ports();
    config.groups.addresses = {{"large", {}}};
    for (unsigned i = 0; i < 10000; ++i) config.groups.addresses[0].items.push_back(net(10, i / 100, i % 100, 1, 32));
    config.filter.forward.rules.assign(1000, filter_rule([](auto& r) { r.src.items = {group("large")}; }));
    const auto compiled = compile_policy(config, kOneWorker, 1);
    REQUIRE(compiled.policy->address_sets.size() == 1);
    CHECK(compiled.policy->address_sets[0].size() == 10000);
    CHECK(compiled.policy->rule_count == 1003);
}

TEST_CASE("log prefixes keep their ids over reloads, and a record that comes late still finds its text") {
    config::Config config = three_ports();
    const auto logs = [](std::string prefix) { return filter_rule([&](auto& r) { r.log = prefix; }); };
    config.filter.forward.rules = {logs("a "), logs("b "), filter_rule([](auto&) {}), logs("a ")};
    const auto first = compile_policy(config, kOneWorker, 1);
    const auto& rules = forward_of(first).rules;
    CHECK(rules[0].log == rules[3].log);
    CHECK(rules[0].log != rules[1].log);
    CHECK(rules[2].log == -1);
    const auto id = [](const FilterRule& r, const Policy& p) {
        return static_cast<std::uint8_t>(p.log_prefixes[static_cast<std::size_t>(r.log)]);
    };
    const std::uint8_t a = id(rules[0], *first.policy), b = id(rules[1], *first.policy);
    CHECK(first.names.log_prefixes.text(a) == "a ");
    CHECK(first.names.log_prefixes.text(b) == "b ");
    CHECK(first.names.log_prefixes.text(200).empty());

    config.filter.forward.rules = {logs("c "), logs("b ")};
    const auto second = compile_policy(config, kOneWorker, 2, first.names.log_prefixes);
    CHECK(id(forward_of(second).rules[1], *second.policy) == b);
    CHECK(id(forward_of(second).rules[0], *second.policy) != a);
    CHECK(second.names.log_prefixes.text(a) == "a ");
}

TEST_CASE("ids of log prefixes that nobody uses are taken again; more than 256 in use are refused") {
    LogPrefixes prefixes;
    for (unsigned i = 0; i < 256; ++i) CHECK(prefixes.intern(std::to_string(i)) == i);
    CHECK(prefixes.intern("7") == 7);
    CHECK_FALSE(prefixes.intern("one more"));
    prefixes.next_policy();
    CHECK(prefixes.intern("200") == 200);
    CHECK(prefixes.intern("one more") == 0);
    CHECK(prefixes.text(0) == "one more");
    CHECK(prefixes.size() == 256);

    config::Config config = three_ports();
    for (unsigned i = 0; i < 257; ++i)
        config.filter.input.rules.push_back(filter_rule([&](auto& r) { r.log = std::to_string(i); }));
    CHECK_THROWS_AS(compile_policy(config, kOneWorker, 1), CompileError);
}

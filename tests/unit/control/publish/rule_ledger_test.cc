#include "control/publish/rule_ledger.hh"

#include <catch2/catch.hpp>

#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

/// A policy whose forward chain has a rule for each protocol: rules 0 … n - 1, then the chain policies.
CompiledPolicy policy_of(std::initializer_list<std::uint8_t> protos) {
    config::Config config = three_ports();
    for (const std::uint8_t proto : protos)
        config.filter.forward.rules.push_back(filter_rule([&](auto& r) { r.proto = proto; }));
    return compile_policy(config, {2, 1000, 100}, 1);
}

void count(const CompiledPolicy& compiled, unsigned worker, std::uint32_t rule, std::uint64_t packets) {
    compiled.policy->counter(worker, rule).packets.add(packets);
    compiled.policy->counter(worker, rule).bytes.add(packets * 100);
}

}  // namespace

TEST_CASE("totals are the sum over workers") {
    RuleLedger ledger;
    CHECK(ledger.totals().empty());
    const auto only = policy_of({6, 17});
    ledger.start(*only.policy, only.names);
    count(only, 0, 1, 3);
    count(only, 1, 1, 4);
    const auto totals = ledger.totals();
    REQUIRE(totals.size() == 5);
    CHECK(totals[0] == RuleTotal{});
    CHECK(totals[1] == RuleTotal{7, 700});
}

TEST_CASE("a rule goes on counting where it was, at its new place, and late increments are not lost") {
    RuleLedger ledger;
    const auto first = policy_of({6, 17});
    ledger.start(*first.policy, first.names);
    count(first, 0, 0, 10);
    count(first, 1, 1, 5);
    count(first, 0, 3, 2);  // chain policy of forward

    const auto second = policy_of({47, 17, 6});
    ledger.start(*second.policy, second.names);
    CHECK(ledger.totals()[2] == RuleTotal{10, 1000});
    CHECK(ledger.totals()[1] == RuleTotal{5, 500});
    CHECK(ledger.totals()[0] == RuleTotal{});
    CHECK(ledger.totals()[4] == RuleTotal{2, 200});
    count(first, 1, 0, 1);   // a worker that has not seen the new policy yet
    count(second, 0, 2, 7);  // one that has
    CHECK(ledger.totals()[2] == RuleTotal{18, 1800});

    ledger.retire(*first.policy);
    CHECK(ledger.totals()[2] == RuleTotal{18, 1800});
    count(second, 0, 2, 1);
    CHECK(ledger.totals()[2] == RuleTotal{19, 1900});
    ledger.retire(*first.policy);  // known no more
    CHECK(ledger.totals()[2] == RuleTotal{19, 1900});
}

TEST_CASE("three policies at once, two of them in grace") {
    RuleLedger ledger;
    const auto a = policy_of({6}), b = policy_of({6, 17}), c = policy_of({17, 6});
    ledger.start(*a.policy, a.names);
    count(a, 0, 0, 1);
    ledger.start(*b.policy, b.names);
    count(b, 0, 0, 2);
    count(b, 0, 1, 40);
    ledger.start(*c.policy, c.names);
    count(c, 0, 1, 4);
    CHECK(ledger.totals()[1].packets == 7);
    CHECK(ledger.totals()[0].packets == 40);
    ledger.retire(*a.policy);
    CHECK(ledger.totals()[1].packets == 7);
    ledger.retire(*b.policy);
    CHECK(ledger.totals()[1].packets == 7);
    CHECK(ledger.totals()[0].packets == 40);
}

TEST_CASE("a rule that was taken out starts at zero when it comes back, in grace or not") {
    RuleLedger ledger;
    const auto with = policy_of({6}), without = policy_of({}), again = policy_of({6});
    ledger.start(*with.policy, with.names);
    count(with, 0, 0, 9);
    ledger.start(*without.policy, without.names);
    ledger.start(*again.policy, again.names);
    CHECK(ledger.totals()[0] == RuleTotal{});
    ledger.retire(*with.policy);
    ledger.retire(*without.policy);
    CHECK(ledger.totals()[0] == RuleTotal{});
}

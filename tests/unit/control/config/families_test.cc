// Which families a rule is about, and where that is known from.
#include "control/config/families.hh"

#include <catch2/catch.hpp>

namespace sluice::config {
namespace {

const AddressRange kFour{ip4(192, 0, 2, 1), ip4(192, 0, 2, 9)};
const AddressRange kSix{ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), ip6(0x2001, 0xdb8, 0, 0, 0, 0, 0, 9)};

Groups groups() {
    Groups g;
    // In an order in which each names what comes later, and two that name each other.
    g.addresses = {
        {"outer", {"middle"}}, {"middle", {"inner", "four"}}, {"inner", {kSix}}, {"four", {kFour}}, {"a", {"b"}},
        {"b", {"a", kSix}},    {"empty", {"nobody"}}};
    return g;
}

TEST_CASE("the families of items, groups followed") {
    const Groups g = groups();
    const FamilyIndex index{g};
    CHECK(index.of({kFour}) == Families::ip4);
    CHECK(index.of({kSix}) == Families::ip6);
    CHECK(index.of({kSix, kFour}) == Families::both);
    CHECK(index.of({"four"}) == Families::ip4);
    CHECK(index.of({"inner"}) == Families::ip6);
    CHECK(index.of({"middle"}) == Families::both);
    CHECK(index.of({"outer"}) == Families::both);
    CHECK(index.of({"inner", "four"}) == Families::both);
    CHECK(index.of({"a"}) == Families::ip6);
    CHECK(index.of({"b"}) == Families::ip6);
    CHECK(index.of({}) == Families::none);
    CHECK(index.of({"empty"}) == Families::none);
    CHECK(index.of({"nobody"}) == Families::none);
}

TEST_CASE("a filter rule is about the family of whatever it names") {
    const Groups g = groups();
    const FamilyIndex index{g};
    FilterRule rule;
    CHECK(index.matched_by(rule) == Families::both);
    SECTION("an address, also negated") {
        rule.src.items = {kFour};
        CHECK(index.matched_by(rule) == Families::ip4);
        rule.src.negated = true;
        CHECK(index.matched_by(rule) == Families::ip4);
    }
    SECTION("addresses of both say nothing") {
        rule.dst = {true, {"outer"}};
        CHECK(index.matched_by(rule) == Families::both);
    }
    SECTION("no addresses at all say nothing") {
        rule.dst = {false, {"nobody"}};
        CHECK(index.matched_by(rule) == Families::both);
    }
    SECTION("the key") {
        rule.family = Family::ip6;
        CHECK(index.matched_by(rule) == Families::ip6);
        rule.dst.items = {"outer"};
        CHECK(index.matched_by(rule) == Families::ip6);
        rule.src.items = {kFour};
        CHECK(index.matched_by(rule) == Families::none);
        const auto clues = index.clues(rule);
        REQUIRE(clues.size() == 2);
        CHECK(clues[0].key == "family");
        CHECK(clues[1].key == "src");
    }
    SECTION("a type of ICMP, but not its protocol number, which any packet may carry") {
        rule.proto = 58;
        CHECK(index.matched_by(rule) == Families::both);
        rule.icmp_type = 128;
        CHECK(index.matched_by(rule) == Families::ip6);
        rule.proto = 1;
        CHECK(index.matched_by(rule) == Families::ip4);
    }
}

TEST_CASE("a NAT rule is about the family of its targets") {
    const Groups g = groups();
    const FamilyIndex index{g};
    NatRule rule;
    rule.action = Snat{true, {}, {}};
    CHECK(index.matched_by(rule) == Families::both);
    rule.action = Snat{false, {"four"}, {}};
    CHECK(index.matched_by(rule) == Families::ip4);
    rule.action = Snat{false, {}, {}, TranslatedPrefix{kSix.first, 48}};
    CHECK(index.matched_by(rule) == Families::ip6);
    rule.action = Dnat{{kSix}, {}, Schedule::round_robin};
    CHECK(index.matched_by(rule) == Families::ip6);
    rule.dst.items = {kFour};
    CHECK(index.matched_by(rule) == Families::none);
}

}  // namespace
}  // namespace sluice::config

// The index of a rule list beside plain evaluation: random rules and random packets, the same rules match, in the same
// order, whatever is left out of the index; and what an index costs is bounded.
#include "control/compile/index_rules.hh"

#include <algorithm>
#include <random>

#include <catch2/catch.hpp>

#include "dataplane/policy/rule_match.hh"
#include "tests/unit/control/compile/configs.hh"

using namespace sluice;
using namespace sluice::compile;

namespace {

constexpr std::uint8_t kIcmp = 1, kTcp = 6, kUdp = 17;

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}
    unsigned below(unsigned bound) { return static_cast<unsigned>(engine_() % bound); }
    bool one_in(unsigned n) { return below(n) == 0; }

    /// Few enough of them that ranges and packets meet, at both ends of what there is as well.
    IpAddress address() {
        const unsigned last = below(64);
        switch (below(8)) {
            case 0:
                return test::six(last);
            case 1:
                return one_in(2) ? IpAddress(ip4(0, 0, 0, 0)) : IpAddress(ip4(255, 255, 255, 255));
            case 2:
                return one_in(2) ? IpAddress{} : IpAddress::from_host64(~std::uint64_t{0}, ~std::uint64_t{0});
            default:
                return ip4(192, 0, 2, last);
        }
    }
    std::uint16_t port() { return static_cast<std::uint16_t>(one_in(6) ? 65535 * below(2) : 1000 + below(40)); }
    PortIndex port_index() {
        return one_in(10) ? (one_in(2) ? kKernelPort : kNoPort) : static_cast<PortIndex>(below(4));
    }
    PacketState state() { return static_cast<PacketState>(one_in(8) ? 0 : 1U << below(5)); }

private:
    std::mt19937 engine_;
};

/// Disjoint and ascending, as sets are.
template <class Value, class Draw>
auto ranges(Random& random, Draw&& draw) {
    std::vector<Value> ends;
    for (unsigned n = 2 * random.below(4); n > 0; --n) ends.push_back(draw());
    std::ranges::sort(ends);
    ends.erase(std::ranges::unique(ends).begin(), ends.end());
    if (ends.size() % 2 != 0) ends.pop_back();
    return ends;
}

void add_sets(Policy& policy, Random& random) {
    for (unsigned i = 0; i < 12; ++i) {
        const auto ends = ranges<IpAddress>(random, [&] { return random.address(); });
        AddressSet set;
        for (std::size_t e = 0; e < ends.size(); e += 2) set.push_back({ends[e], ends[e + 1]});
        policy.address_sets.push_back(std::move(set));
        const auto bounds = ranges<std::uint16_t>(random, [&] { return random.port(); });
        PortSet ports;
        for (std::size_t e = 0; e < bounds.size(); e += 2) ports.push_back({bounds[e], bounds[e + 1]});
        policy.port_sets.push_back(std::move(ports));
    }
    policy.address_sets.push_back({AddressRange{ip4(192, 0, 2, 7), ip4(192, 0, 2, 7)}});
    policy.port_sets.push_back({PortRange{0, 65535}});
    policy.icmp_type_sets.emplace_back().set(8);
}

SetMatch set_of(Random& random, std::size_t sets) {
    if (random.one_in(3)) return {};
    return {static_cast<SetId>(random.below(static_cast<unsigned>(sets))), random.one_in(4)};
}

/// Every condition now and then, also those that no index knows of.
MatchSpec spec(Random& random, const Policy& policy) {
    MatchSpec m;
    if (random.one_in(2)) m.in_ports = random.below(16);
    if (random.one_in(2)) m.out_ports = random.below(16) | std::uint64_t{random.below(2)} << kKernelPort;
    if (random.one_in(2)) m.proto = std::array<std::int16_t, 4>{0, kIcmp, kTcp, 255}[random.below(4)];
    if (random.one_in(3)) m.states = static_cast<std::uint8_t>(random.below(32));
    if (random.one_in(8)) m.family = random.one_in(2) ? Family::ip4 : Family::ip6;
    m.src = set_of(random, policy.address_sets.size());
    m.dst = set_of(random, policy.address_sets.size());
    m.sport = set_of(random, policy.port_sets.size());
    m.dport = set_of(random, policy.port_sets.size());
    if (random.one_in(10)) m.icmp_types = 0;
    if (random.one_in(10)) m.mark = {1, 1, random.one_in(2)};
    if (random.one_in(10)) m.invalid_reasons = 1;
    return m;
}

MatchInput packet(Random& random) {
    MatchInput in;
    in.src = random.address();
    do in.dst = random.address();
    while (in.dst.is_v4() != in.src.is_v4());
    in.sport = random.port();
    in.dport = random.port();
    in.proto = std::array<std::uint8_t, 5>{0, kIcmp, kTcp, kUdp, 255}[random.below(5)];
    in.icmp_type = random.one_in(2) ? 8 : 0;
    in.in_port = random.port_index();
    in.out_port = random.port_index();
    in.state = random.state();
    in.marks.packet = random.below(2);
    return in;
}

struct Rules {
    std::vector<MatchSpec> specs;
    [[nodiscard]] std::vector<const MatchSpec*> all() const {
        std::vector<const MatchSpec*> pointers;
        for (const MatchSpec& s : specs) pointers.push_back(&s);
        return pointers;
    }
};

std::vector<std::uint32_t> matching(const Rules& rules, const RuleIndex& index, const MatchInput& in,
                                    const Policy& policy, std::size_t* looked_at = nullptr) {
    std::vector<std::uint32_t> found;
    Candidates candidates(index, rules.specs.size(), in);
    for (std::uint32_t i; (i = candidates.next()) != kNoCandidate;) {
        if (looked_at != nullptr) ++*looked_at;
        if (matches(rules.specs[i], in, policy)) found.push_back(i);
    }
    return found;
}

template <class Value>
std::size_t words_of(const RuleIndex::Field<Value>& f) {
    return f.cells.size() + f.rows.size() + f.rules.words.size() + f.rules.summary.size() + f.rules.any.size() +
           f.rules.whole.size();
}
std::size_t words_of(const RuleIndex& i) {
    return words_of(i.src4) + words_of(i.dst4) + words_of(i.src6) + words_of(i.dst6) + words_of(i.sport) +
           words_of(i.dport) + words_of(i.proto) + words_of(i.state) + words_of(i.in_port) + words_of(i.out_port);
}

}  // namespace

TEST_CASE("the rules that match are those of plain evaluation, whatever the index leaves out") {
    unsigned wrong = 0, matched = 0;
    for (unsigned seed = 0; seed < 60; ++seed) {
        Random random(seed);
        Policy policy;
        add_sets(policy, random);
        Rules rules;
        // Less than a block, some blocks, and more of them than a word of the summary has bits.
        const std::size_t count = std::array{kFewestIndexed,   std::size_t{64},   std::size_t{65},
                                             std::size_t{700}, std::size_t{4096}, std::size_t{4200}}[seed % 6];
        for (std::size_t i = 0; i < count; ++i) rules.specs.push_back(spec(random, policy));
        const std::vector<RuleIndex> indexes{index_rules(rules.all(), policy), index_rules(rules.all(), policy, 0),
                                             index_rules(rules.all(), policy, 200 + count)};
        for (const RuleIndex& index : indexes) REQUIRE(index.rules == count);
        for (unsigned i = 0; i < 200; ++i) {
            const MatchInput in = packet(random);
            const auto plain = matching(rules, {}, in, policy);
            for (const RuleIndex& index : indexes)
                if (matching(rules, index, in, policy) != plain) ++wrong;
            matched += plain.empty() ? 0 : 1;
        }
    }
    CHECK(wrong == 0);
    CHECK(matched > 3000);
}

TEST_CASE("a range of IPv6 that holds the mapped addresses holds IPv4") {
    Policy policy;
    policy.address_sets = {{AddressRange::prefix(IpAddress{}, 0)}};
    Rules rules;
    rules.specs.resize(kFewestIndexed);
    for (MatchSpec& s : rules.specs) s.dst = {0};
    MatchInput in;
    in.src = in.dst = ip4(192, 0, 2, 1);
    const RuleIndex index = index_rules(rules.all(), policy);
    CHECK(matching(rules, index, in, policy) == matching(rules, {}, in, policy));
    CHECK(matching(rules, index, in, policy).size() == kFewestIndexed);
}

TEST_CASE("of ten thousand rules with a network and a service each few are looked at, and the index is small") {
    Policy policy;
    Rules rules;
    for (unsigned i = 0; i < 10000; ++i) {
        policy.address_sets.push_back(
            {AddressRange::prefix(Ip4::from_host(0x64400000U + i * 64), i % 3 == 0 ? 32 : 26)});
        const auto port = static_cast<std::uint16_t>(1024 + i * 7 % 60000);
        policy.port_sets.push_back({PortRange{port, port}});
        MatchSpec m;
        m.proto = i % 2 == 0 ? kTcp : kUdp;
        m.dst = {static_cast<SetId>(i)};
        if (i % 5 != 0) m.dport = {static_cast<SetId>(i)};
        rules.specs.push_back(m);
    }
    rules.specs.push_back({});
    const RuleIndex index = index_rules(rules.all(), policy);
    CHECK(words_of(index) < 300'000);
    Random random(1);
    std::size_t looked_at = 0;
    for (unsigned i = 0; i < 1000; ++i) {
        MatchInput in;
        in.src = ip4(192, 0, 2, 1);
        in.dst = Ip4::from_host(0x64400000U + random.below(700000));
        in.dport = static_cast<std::uint16_t>(random.below(65536));
        in.proto = kUdp;
        CHECK(matching(rules, index, in, policy, &looked_at).back() == 10000);
    }
    CHECK(looked_at < 4000);  // the first two and the last one, and hardly another
}

TEST_CASE("a group is one row, however many members it has and rules name it") {
    Policy policy;
    policy.address_sets.resize(1);
    for (unsigned i = 0; i < 5000; ++i) {
        const Ip4 host = Ip4::from_host(0x0a000000U + 2 * i);
        policy.address_sets[0].push_back({host, host});
    }
    Rules rules;
    rules.specs.resize(2000);
    for (MatchSpec& s : rules.specs) s.src = {0};
    const RuleIndex index = index_rules(rules.all(), policy);
    CHECK(index.src4.rules.first.size() == 2);  // of the group, and of all others
    CHECK(words_of(index) < 21'000);            // two for each edge of a range, and few more
}

TEST_CASE("ranges that all overlap cost no more than they may") {
    Policy policy;
    Rules rules;
    for (unsigned i = 0; i < 4000; ++i) {
        policy.address_sets.push_back({AddressRange{Ip4::from_host(i), Ip4::from_host(0xffffffffU - i)}});
        MatchSpec m;
        m.dst = {static_cast<SetId>(i)};
        rules.specs.push_back(m);
    }
    const RuleIndex index = index_rules(rules.all(), policy);
    CHECK(index.dst4.empty());
    CHECK(words_of(index) < kMostWork);
    MatchInput in;
    in.src = in.dst = Ip4::from_host(10);
    CHECK(matching(rules, index, in, policy).size() == 11);
}

TEST_CASE("a short list has no index") {
    Rules rules;
    rules.specs.resize(kFewestIndexed - 1);
    CHECK(index_rules(rules.all(), Policy{}).rules == 0);
}

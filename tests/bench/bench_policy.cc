#include "tests/bench/bench_policy.hh"

#include <stdexcept>
#include <string>

#include "control/compile/compile.hh"
#include "control/config/load.hh"

namespace sluice::bench {

namespace {

// What an established packet meets, and a few rules that only new ones do. The box has its memory already: what the
// configuration says of it is large enough for any table.
const char* const kOffice = R"(
memory: {megabytes: 65536}
workers: {main: 0, cores: [1]}
ports:
  - {name: lan, device: net_null0, role: inside, tap: tlan}
  - {name: wan, device: net_null1, role: outside, tap: twan}
filter:
  input:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {in: lan, action: accept}
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {state: invalid, action: drop}
      - {in: lan, out: wan, proto: tcp, dport: [25, 445], action: reject}
      - {in: lan, out: wan, dst: 192.0.2.0/24, action: drop}
)";
const char* const kOutwards = "      - {in: lan, out: wan, action: accept}\n";
const char* const kInwards = "      - {in: wan, out: lan, dst: 10.1.1.10, action: accept}\n";
const char* const kMasquerade = "nat:\n  - {out: wan, src: 10.0.0.0/8, snat: masquerade}\n";
const char* const kForward =
    "nat:\n"
    "  - {in: wan, dst: 203.0.113.1, proto: udp, dport: 53, dnat: {to: 10.1.1.10, port: 5353}}\n"
    "  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 443, dnat: {to: 10.1.1.10, port: 5353}}\n";

std::string text_of(const PolicyWish& wish) {
    std::string text = "conntrack: {max: ";
    text.append(std::to_string(std::uint64_t{wish.slots} * wish.workers))
        .append(", half_open: ")
        .append(std::to_string(wish.half_open_percent))
        .append("%, timeouts: {udp: ")
        .append(std::to_string(wish.udp_s))
        .append("s, tcp_time_wait: ")
        .append(std::to_string(wish.time_wait_s))
        .append("s}}\n")
        .append(kOffice)
        .append(wish.nat == Nat::destination ? kInwards : kOutwards);
    if (wish.nat == Nat::source) text.append(kMasquerade);
    if (wish.nat == Nat::destination) text.append(kForward);
    return text;
}

/// Rules that look like other people's and that no packet of ours matches: a network and a service each.
config::FilterRule other_peoples_rule(std::uint32_t i) {
    config::FilterRule rule;
    rule.in.names = {"lan"};
    rule.out.names = {"wan"};
    rule.proto = static_cast<std::uint8_t>(i % 2 == 0 ? 6 : 17);
    const Ip4 network = Ip4::from_host(ip4(100, 64, 0, 0).host() + i * 64);
    rule.dst.items = {AddressRange::prefix(network, i % 3 == 0 ? 32 : 26)};
    const auto port = static_cast<std::uint16_t>(1024 + i * 7 % 60000);
    if (i % 5 != 0) rule.dport.items = {PortRange{port, port}};
    rule.action = i % 4 == 0 ? config::FilterAction::drop : config::FilterAction::accept;
    return rule;
}

}  // namespace

std::unique_ptr<const Policy> bench_policy(const PolicyWish& wish, std::uint32_t generation) {
    const auto loaded = config::load_config_text(text_of(wish), "bench");
    if (!loaded.ok()) {
        std::string all;
        for (const auto& e : loaded.errors) all.append(to_string(e)).append("\n");
        throw std::runtime_error(all);
    }
    config::Config config = *loaded.config;
    auto& rules = config.filter.forward.rules;
    if (wish.rules < rules.size()) throw std::runtime_error("a bench policy has five rules at least");
    std::vector<config::FilterRule> more;
    for (std::uint32_t i = static_cast<std::uint32_t>(rules.size()); i < wish.rules; ++i)
        more.push_back(other_peoples_rule(i));
    rules.insert(rules.end() - 1, more.begin(), more.end());
    if (wish.against_probe) {
        // In place of the office's rule for 192.0.2.0/24, so that there are as many.
        rules[3].dst.items = {AddressRange::prefix(kProbed, 32)};
    }
    config.workers.cores.clear();
    for (unsigned w = 0; w < wish.workers; ++w) config.workers.cores.push_back(w + 1);
    auto policy = compile_policy(config, {wish.workers, wish.slots, 1024}, generation).policy;
    if (policy->chain(Chain::forward).rules.size() != wish.rules)
        throw std::runtime_error("the policy has not the rules that were asked for");
    return policy;
}

}  // namespace sluice::bench

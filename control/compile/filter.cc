// Filter chains: conditions, actions, answers, logs.
#include "control/compile/rules.hh"
#include "control/config/resolve.hh"

namespace sluice::compile {
namespace {

constexpr std::uint64_t kAnyPort = ~std::uint64_t{0};

std::uint8_t state_bits(const config::StateMatch& state) noexcept {
    if (state.any()) return 0xff;
    const auto bit = [](bool set, PacketState s) { return set ? static_cast<unsigned>(s) : 0U; };
    return static_cast<std::uint8_t>(
        bit(state.new_flow, PacketState::new_flow) | bit(state.established, PacketState::established) |
        bit(state.related, PacketState::related) | bit(state.invalid, PacketState::invalid) |
        bit(state.untracked, PacketState::untracked));
}

FilterAction action_of(config::FilterAction action) noexcept {
    switch (action) {
        case config::FilterAction::accept:
            return FilterAction::accept;
        case config::FilterAction::drop:
            return FilterAction::drop;
        case config::FilterAction::next:
            return FilterAction::next;
        case config::FilterAction::notrack:
            return FilterAction::notrack;
        case config::FilterAction::reject:
            break;
    }
    return FilterAction::reject;
}

RejectWith answer_of(config::RejectWith with) noexcept {
    switch (with) {
        case config::RejectWith::port_unreachable:
            return RejectWith::port_unreachable;
        case config::RejectWith::admin_prohibited:
            return RejectWith::admin_prohibited;
        case config::RejectWith::tcp_reset:
            break;
    }
    return RejectWith::tcp_reset;
}

}  // namespace

std::uint64_t RuleCompiler::port_mask(const config::PortNameMatch& match) const noexcept {
    if (match.any()) return kAnyPort;
    std::uint64_t mask = 0;
    for (const std::string& name : match.names) {
        const PortIndex port = config::port_index(config_, name);
        if (port != kNoPort) mask |= std::uint64_t{1} << port;
    }
    return mask;
}

std::int32_t RuleCompiler::log_prefix(const std::string& text) {
    const auto id = names_.log_prefixes.intern(text);
    if (!id) throw CompileError("more than " + std::to_string(LogPrefixes::kMost) + " different log prefixes");
    return *id;
}

FilterRule RuleCompiler::filter_rule(Chain chain, const config::FilterRule& from) {
    FilterRule rule;
    rule.match = conditions(from);
    // One side of these packets is the box itself, whichever mark the data plane has for that.
    if (chain == Chain::input) rule.match.out_ports = kAnyPort;
    if (chain == Chain::output || chain == Chain::raw_output) rule.match.in_ports = kAnyPort;
    rule.match.states = state_bits(from.state);
    rule.match.invalid_reasons = from.invalid_reasons;
    if (from.icmp_type) rule.match.icmp_types = sets_.icmp_type(*from.icmp_type);
    rule.set_mark = {from.set_mark.value, from.set_mark.mask, from.set_mark.copy};
    rule.set_ct_mark = {from.set_ct_mark.value, from.set_ct_mark.mask, from.set_ct_mark.copy};
    if (from.set_mark.copy) rule.match.needs_flow = true;
    if (!from.set_timeout.empty()) rule.set_timeouts = names_.timeout_ids.at(from.set_timeout);
    rule.action = action_of(from.action);
    rule.reject_with = answer_of(from.reject_with);
    if (from.log) rule.log = log_prefix(*from.log);
    rule.rule = next_number();
    return rule;
}

void RuleCompiler::chain(Chain chain, const config::Chain& from) {
    FilterChain& to = policy_.filter[static_cast<std::size_t>(chain)];
    to.policy = from.policy == config::ChainPolicy::accept ? FilterAction::accept : FilterAction::drop;
    to.rules.reserve(from.rules.size());
    std::uint32_t number = 0;
    for (const config::FilterRule& rule : from.rules) {
        to.rules.push_back(filter_rule(chain, rule));
        names_.rules.push_back(name_rule(chain, ++number, rule));
    }
}

void RuleCompiler::filter() {
    chain(Chain::input, config_.filter.input);
    chain(Chain::forward, config_.filter.forward);
    chain(Chain::output, config_.filter.output);
}

void RuleCompiler::raw() {
    const auto add = [&](Chain chain, const std::vector<config::FilterRule>& from, std::vector<FilterRule>& to) {
        std::uint32_t number = 0;
        for (const config::FilterRule& rule : from) {
            to.push_back(filter_rule(chain, rule));
            names_.rules.push_back(name_rule(chain, ++number, rule));
        }
    };
    add(Chain::raw, config_.raw.prerouting, policy_.raw);
    add(Chain::raw_output, config_.raw.output, policy_.raw_output);
    // Records carry the id; the index into log_prefixes is the id, so that there is one number and no way to mix up
    // two.
    for (std::size_t id = 0; id < names_.log_prefixes.size(); ++id)
        policy_.log_prefixes.push_back(static_cast<std::uint32_t>(id));
}

void RuleCompiler::chain_policies() {
    const auto add = [&](Chain chain, const config::Chain& from) {
        policy_.filter[static_cast<std::size_t>(chain)].policy_rule = next_number();
        names_.rules.push_back(name_policy(chain, from.policy));
    };
    add(Chain::input, config_.filter.input);
    add(Chain::forward, config_.filter.forward);
    add(Chain::output, config_.filter.output);
}

}  // namespace sluice::compile

#include "dataplane/policy/port_choice.hh"

#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/first_packets.hh"

namespace sluice {

namespace {

/// The part of a reply tuple that a source port translation changes.
Be16& chosen_port(FlowKey& reply) noexcept {
    return reply.shape() == TupleShape::query ? reply.sport : reply.dport;
}

/// Whether NAT has something to choose.
constexpr bool has_ports(const FlowKey& key) noexcept {
    return key.shape() == TupleShape::ports || key.shape() == TupleShape::query;
}

}  // namespace

PortRange port_class(std::uint16_t port) noexcept {
    if (port == 0) return {0, 511};  // kept where that is possible, and never chosen
    if (port < 512) return {1, 511};
    if (port < 1024) return {600, 1023};
    return {1024, 65535};
}

bool PortChooser::is_free(const FlowKey& reply) const noexcept {
    const std::uint32_t hash = store_.table().hash(reply);
    return !store_.table().lookup(reply, hash) && !firsts_.away(reply, hash) && !expectations_.holds(reply);
}

bool PortChooser::may_keep(const FlowKey& wanted, PortChoice choice) noexcept {
    if (wanted.shape() == TupleShape::spi) return false;
    FlowKey reply = wanted;
    return !has_ports(wanted) || (choice.keep_first && choice.ports.contains(chosen_port(reply).host()));
}

std::optional<FlowKey> PortChooser::choose_place(const FlowKey& wanted) const noexcept {
    for (unsigned place = 0; place < kWaitingPlaces; ++place) {
        const FlowKey reply = waiting_key(wanted, place);
        if (is_free(reply)) return reply;
    }
    return std::nullopt;
}

std::optional<FlowKey> PortChooser::choose(const FlowKey& wanted, PortChoice choice) noexcept {
    if (wanted.shape() == TupleShape::spi) return choose_place(wanted);
    FlowKey reply = wanted;
    Be16& port = chosen_port(reply);
    if (!has_ports(wanted)) {
        if (is_free(reply)) return reply;
        return std::nullopt;
    }
    if (may_keep(wanted, choice) && is_free(reply)) {
        counters_.nat_port_kept.add();
        return reply;
    }
    const unsigned size = choice.ports.size();
    for (unsigned tries = 128; tries >= 16; tries /= 2) {
        unsigned offset = random_.below(size);
        for (unsigned i = 0; i < tries && i < size; ++i) {
            port = be16(choice.ports.first + offset);
            counters_.nat_port_probes.add();
            const bool is_port = port != Be16{} || reply.shape() != TupleShape::ports;
            if (is_port && is_free(reply)) {
                counters_.nat_port_random.add();
                return reply;
            }
            if (++offset == size) offset = 0;
        }
        if (tries >= size) break;  // every port was tried
    }
    return std::nullopt;
}

}  // namespace sluice

#include "dataplane/policy/port_choice.hh"

#include <algorithm>

#include "dataplane/lookup/flow_store.hh"
#include "dataplane/policy/expect_table.hh"
#include "dataplane/policy/first_packets.hh"

namespace sluice {

namespace {

/// Tries that are left when Linux begins to take ports over (NF_NAT_HARDER_THRESH).
constexpr unsigned kLastTries = 32;

}  // namespace

PortRange port_class(std::uint16_t port) noexcept {
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
    return !has_chosen_port(wanted) || choice.allows(chosen_port(wanted));
}

bool PortChooser::take_over(const FlowKey& reply, std::uint32_t syn) noexcept {
    const std::uint32_t hash = store_.table().hash(reply);
    const FlowRef ref = store_.table().lookup(reply, hash);
    if (!ref || store_.is_stub(ref) || ref.direction() == Direction::original) return false;
    const FlowHot& old = store_.hot(ref.slot());
    const bool over = old.kind == L4Kind::tcp && old.tcp_state >= TcpState::time_wait;
    if (!over || !old.has(status::kSourceNat)) return false;
    if (static_cast<std::int32_t>(syn - old.tcp.ends[index_of(Direction::original)].end) <= 0) return false;
    if (firsts_.away(reply, hash) || expectations_.holds(reply)) return false;
    store_.kill(ref.slot(), DeathCause::replaced);
    return true;
}

std::optional<FlowKey> PortChooser::choose_place(const FlowKey& wanted) const noexcept {
    for (unsigned place = 0; place < kWaitingPlaces; ++place) {
        const FlowKey reply = waiting_key(wanted, place);
        if (is_free(reply)) return reply;
    }
    return std::nullopt;
}

std::optional<FlowKey> PortChooser::choose(const FlowKey& wanted, PortChoice choice, SynEnd syn) noexcept {
    if (wanted.shape() == TupleShape::spi) return choose_place(wanted);
    FlowKey reply = wanted;
    Be16& port = chosen_port(reply);
    if (!has_chosen_port(wanted)) {
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
        const unsigned row = std::min(tries, size);
        for (unsigned i = 0; i < row; ++i) {
            port = be16(choice.ports.first + offset);
            counters_.nat_port_probes.add();
            const bool is_port = port != Be16{} || reply.shape() != TupleShape::ports;
            const bool hard = syn && row - i <= kLastTries;
            if (is_port && (is_free(reply) || (hard && take_over(reply, *syn)))) {
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

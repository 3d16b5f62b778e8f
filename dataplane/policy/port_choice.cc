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

bool PortChooser::is_free(const FlowKey& reply, std::uint32_t hash) const noexcept {
    return !store_.table().lookup(reply, hash) && !firsts_.away(reply, hash) && !expectations_.holds(reply);
}

bool PortChooser::may_keep(const FlowKey& wanted, PortChoice choice) noexcept {
    if (wanted.shape() == TupleShape::spi) return false;
    return !has_chosen_port(wanted) || choice.allows(chosen_port(wanted));
}

bool PortChooser::take_over(const FlowKey& reply, std::uint32_t hash, std::uint32_t syn) noexcept {
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

std::optional<FreeTuple> PortChooser::choose_place(const FlowKey& wanted) const noexcept {
    for (unsigned place = 0; place < kWaitingPlaces; ++place) {
        const FlowKey reply = waiting_key(wanted, place);
        const std::uint32_t hash = store_.table().hash(reply);
        if (is_free(reply, hash)) return FreeTuple{reply, hash};
    }
    return std::nullopt;
}

std::optional<FreeTuple> PortChooser::choose(const FlowKey& wanted, PortChoice choice, SynEnd syn) noexcept {
    if (wanted.shape() == TupleShape::spi) return choose_place(wanted);
    if (may_keep(wanted, choice)) {
        const std::uint32_t hash = store_.table().hash(wanted);
        if (is_free(wanted, hash)) {
            if (has_chosen_port(wanted)) counters_.nat_port_kept.add();
            return FreeTuple{wanted, hash};
        }
    }
    if (!has_chosen_port(wanted)) return std::nullopt;
    FlowKey reply = wanted;
    Be16& port = chosen_port(reply);
    const unsigned size = choice.ports.size();
    for (unsigned tries = 128; tries >= 16; tries /= 2) {
        unsigned offset = random_.below(size);
        const unsigned row = std::min(tries, size);
        for (unsigned i = 0; i < row; ++i) {
            port = be16(choice.ports.first + offset);
            counters_.nat_port_probes.add();
            const bool is_port = port != Be16{} || reply.shape() != TupleShape::ports;
            const bool hard = syn && row - i <= kLastTries;
            const std::uint32_t hash = store_.table().hash(reply);
            if (is_port && (is_free(reply, hash) || (hard && take_over(reply, hash, *syn)))) {
                counters_.nat_port_random.add();
                return FreeTuple{reply, hash};
            }
            if (++offset == size) offset = 0;
        }
        if (tries >= size) break;  // every port was tried
    }
    return std::nullopt;
}

}  // namespace sluice

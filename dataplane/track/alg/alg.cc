#include "dataplane/track/alg/alg.hh"

namespace sluice {

void Alg::attach(const Packet&, const Policy&, Now) noexcept {}

Verdict Alg::inspect(Packet&, const Policy&, Now) noexcept { return Verdict::next; }

void Alg::release(SlotIndex slot) noexcept {
    const FlowHot& h = p_.store.hot(slot);
    p_.expectations.remove_of(slot, h.generation, p_.worker);
}

void Alg::sweep(Now, unsigned) noexcept {}

}  // namespace sluice

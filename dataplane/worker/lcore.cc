#include "dataplane/worker/lcore.hh"

namespace sluice {

namespace {

std::vector<Ring<PeerMessage>> peer_rings(const std::string& name, unsigned me, unsigned workers, unsigned size,
                                          int socket) {
    std::vector<Ring<PeerMessage>> rings;
    for (unsigned from = 0; from < workers; ++from)
        rings.push_back(from == me ? Ring<PeerMessage>{}
                                   : Ring<PeerMessage>(name + "m" + std::to_string(from), size, socket));
    return rings;
}

}  // namespace

Lcore::Lcore(const std::string& tag, std::uint8_t worker, unsigned workers, const SharedParts& shared,
             const LcoreSizes& sizes, int socket)
    : to_control(tag + std::to_string(worker) + "n", sizes.notices, socket),
      orders(tag + std::to_string(worker) + "o", sizes.orders, socket),
      punt_ring(tag + std::to_string(worker) + "p", sizes.punts, socket),
      from_kernel(tag + std::to_string(worker) + "k", sizes.from_kernel, socket),
      from_peers(peer_rings(tag + std::to_string(worker), worker, workers, sizes.peer_messages, socket)),
      random(shared.random_seed + worker),
      reassembly(sizes.fragments, shared.secret, disposal),
      store({sizes.flows, socket, shared.secret, shared.ports.ipv6(), workers == 1}, counters, to_control),
      expectations(sizes.expectations, socket, shared.secret, counters),
      firsts(sizes.first_packets, counters),
      creator({worker, store, expectations, firsts, random, shared.routes, shared.ports, shared.homes, counters}),
      alg({worker, store, expectations, random, shared.ports, shared.homes, counters}, sizes.helper_states),
      mangle(alg, store, disposal, counters),
      handoff(shared.handoff, worker, disposal),
      punts(punt_ring),
      tx(shared.ports, disposal),
      held(sizes.held, counters, to_control),
      answers(shared.packets, counters),
      egress({shared.ports, shared.routes, tx, held, answers, punts, disposal, shared.packets,
              FragmentIds(shared.secret, worker)}),
      worker_(worker),
      shared_(shared) {
    tx.on_other_device(&Lcore::hand_to_transmitter, this);
    handoff.on_lost(&Lcore::lost_on_the_way, this);
}

/// A stub whose owner does not hear of it would stay for ever.
void Lcore::lost_on_the_way(void* self, unsigned to, rte_mbuf* m) noexcept {
    const HandoffNote& note = note_of(m);
    if (note.kind == HandoffKind::stub_answer && note.answer == StubAnswer::kept)
        static_cast<Lcore*>(self)->store.take_back_stub(note.reply, static_cast<std::uint8_t>(to));
}

void Lcore::hand_to_transmitter(void* self, std::uint16_t device, rte_mbuf* m) noexcept {
    auto& me = *static_cast<Lcore*>(self);
    me.handoff.send(me.tx_worker_[device], m);
}

void Lcore::connect(std::vector<std::unique_ptr<Lcore>>& all) {
    for (auto& me : all) {
        std::vector<Ring<PeerMessage>*> to_peers, from_peers;
        for (auto& other : all) {
            const bool self = other == me;
            to_peers.push_back(self ? nullptr : &other->from_peers[me->worker_]);
            from_peers.push_back(self ? nullptr : &me->from_peers[other->worker_]);
        }
        me->alg.connect_peers(to_peers);
        me->store.connect_peers(me->worker_, std::move(to_peers));
        const SharedParts& s = me->shared_;
        me->pipeline = std::make_unique<Pipeline>(PipelineParts{me->worker_,    s.ports,          s.homes,
                                                                s.policy,       s.routes,         me->reassembly,
                                                                me->store,      me->expectations, me->firsts,
                                                                me->creator,    me->alg,          me->mangle,
                                                                me->handoff,    me->punts,        me->tx,
                                                                me->answers,    me->egress,       me->disposal,
                                                                me->to_control, me->orders,       std::move(from_peers),
                                                                me->counters});
    }
}

}  // namespace sluice

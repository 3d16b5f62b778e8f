// The store's promises: a slot is filled before it can be found, control hears of every flow in order and exactly once
// however small the mailbox, a slot is used again only behind its `died`, and the gauges are always those of the flows
// that live.
#include "dataplane/lookup/flow_store.hh"

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include <catch2/catch.hpp>

#include "tests/support/flow_room.hh"

using namespace sluice;
using test::FlowRoom;

namespace {

constexpr Now kStart{1000, 0};

std::vector<std::pair<NoticeKind, SlotIndex>> kinds(const std::vector<Notice>& notices) {
    std::vector<std::pair<NoticeKind, SlotIndex>> result;
    for (const Notice& n : notices) result.emplace_back(n.kind, n.slot);
    return result;
}

/// A mailbox of two messages, filled with the births of two flows.
struct FullMailbox : FlowRoom {
    explicit FullMailbox(std::uint32_t capacity = 8) : FlowRoom(capacity, 4) {
        first = open(0U);
        second = open(1U);
        third = open(2U);
        REQUIRE(third != kNoSlot);
        REQUIRE_FALSE(store.has_pending());
    }
    SlotIndex first, second, third;
};

}  // namespace

TEST_CASE("a filled slot is found only once it is published, by both keys") {
    FlowRoom room;
    const FlowKey key = FlowRoom::key(1);
    const SlotIndex slot = room.fill(key, invert(key));
    CHECK_FALSE(room.find(key));
    CHECK(room.store.live() == 0);
    CHECK(room.take().empty());
    REQUIRE(room.store.publish(slot));
    CHECK(room.find(key) == FlowRef(slot, Direction::original));
    CHECK(room.find(invert(key)) == FlowRef(slot, Direction::reply));
    CHECK(room.store.live() == 1);
    const auto notices = room.take();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].kind == NoticeKind::born);
    CHECK(notices[0].slot == slot);
    CHECK(notices[0].generation == room.store.hot(slot).generation);
    CHECK(notices[0].deadline_ms == 61'000);
}

TEST_CASE("a flow whose reply tuple is taken is undone as a whole") {
    FlowRoom room(4);
    const SlotIndex holder = room.open(1U);
    (void)room.take();
    const std::uint64_t keys = room.store.table().size();
    const FlowKey other = FlowRoom::key(2);
    CHECK_FALSE(room.store.publish(room.fill(other, invert(FlowRoom::key(1)))));
    CHECK_FALSE(room.find(other));
    CHECK(room.store.table().size() == keys);
    CHECK(room.store.live() == 1);
    CHECK(room.take().empty());
    CHECK(room.counters->flow_births.get() == 1);
    CHECK(room.find(invert(FlowRoom::key(1))) == FlowRef(holder, Direction::reply));
    for (unsigned n = 10; n < 13; ++n) CHECK(room.open(n) != kNoSlot);  // the slot came back
    CHECK(room.store.allocate() == kNoSlot);
}

TEST_CASE("a flow whose original tuple is taken takes its reply key out again") {
    FlowRoom room;
    (void)room.open(1U);
    FlowKey reply = invert(FlowRoom::key(1));
    reply.dport = be16(50000);
    CHECK_FALSE(room.store.publish(room.fill(FlowRoom::key(1), reply)));
    CHECK_FALSE(room.find(reply));
    CHECK(room.counters->flows_tcp[static_cast<std::size_t>(TcpState::syn_sent)].get() == 1);
}

TEST_CASE("a killed flow is a miss at once and its slot starts over under another generation") {
    FlowRoom room(1);
    const SlotIndex slot = room.open(1U);
    const std::uint32_t generation = room.store.hot(slot).generation;
    CHECK(room.store.is(slot, generation));
    room.store.kill(slot, DeathCause::flushed);
    CHECK_FALSE(room.store.is(slot, generation));
    CHECK_FALSE(room.find(FlowRoom::key(1)));
    CHECK_FALSE(room.find(invert(FlowRoom::key(1))));
    CHECK(room.counters->flow_deaths[static_cast<std::size_t>(DeathCause::flushed)].get() == 1);
    CHECK(kinds(room.take()) ==
          std::vector<std::pair<NoticeKind, SlotIndex>>{{NoticeKind::born, slot}, {NoticeKind::died, slot}});
    REQUIRE(room.open(2U) == slot);
    CHECK_FALSE(room.store.is(slot, generation));
    CHECK(room.store.hot(slot).generation != generation);
    CHECK(room.store.cold(slot).id != 0);
}

TEST_CASE("an abandoned slot never was a flow") {
    FlowRoom room(1);
    const SlotIndex slot = room.fill(FlowRoom::key(1), invert(FlowRoom::key(1)));
    room.store.abandon(slot);
    CHECK(room.take().empty());
    CHECK(room.store.live() == 0);
    CHECK(room.open(2U) == slot);
}

TEST_CASE("a notice that finds the mailbox full is sent later") {
    FullMailbox room;
    const SlotIndex fourth = room.open(3U);
    REQUIRE(fourth != kNoSlot);
    CHECK(room.store.has_pending());
    CHECK(room.counters->notices_deferred.get() == 1);
    CHECK_FALSE(room.store.pump(10));
    CHECK(room.take().size() == 3);
    CHECK(room.store.pump(10));
    CHECK(kinds(room.take()) == std::vector<std::pair<NoticeKind, SlotIndex>>{{NoticeKind::born, fourth}});
    CHECK_FALSE(room.store.has_pending());
}

TEST_CASE("control never hears of a flow that is born and dies while the mailbox is full") {
    FullMailbox room(4);
    const SlotIndex brief = room.open(3U);
    room.store.kill(brief, DeathCause::closed);
    CHECK(room.store.allocate() == kNoSlot);
    (void)room.take();
    CHECK(room.store.pump(10));
    CHECK(room.take().empty());
    CHECK(room.store.allocate() == brief);
}

TEST_CASE("a slot whose death waits is not used again") {
    FullMailbox room(4);
    room.store.kill(room.second, DeathCause::timeout);
    const SlotIndex last = room.store.allocate();
    CHECK(last != room.second);
    CHECK(room.store.allocate() == kNoSlot);
    room.store.abandon(last);
    CHECK_FALSE(room.store.pump(10));
    (void)room.take();
    CHECK(room.store.pump(10));
    CHECK(kinds(room.take()) == std::vector<std::pair<NoticeKind, SlotIndex>>{{NoticeKind::died, room.second}});
    CHECK(room.store.allocate() == room.second);
}

TEST_CASE("a later notice does not overtake one that waits") {
    FullMailbox room;
    room.store.kill(room.first, DeathCause::closed);  // waits
    (void)room.take();
    room.store.kill(room.third, DeathCause::closed);  // there is room now, but it is not its turn
    const SlotIndex late = room.open(5U);
    CHECK(room.take().empty());
    CHECK_FALSE(room.store.pump(2));  // the budget holds
    CHECK(room.store.pump(10));
    CHECK(kinds(room.take()) == std::vector<std::pair<NoticeKind, SlotIndex>>{{NoticeKind::died, room.first},
                                                                              {NoticeKind::died, room.third},
                                                                              {NoticeKind::born, late}});
}

TEST_CASE("a birth that waited tells the deadline of the moment it is sent") {
    FullMailbox room;
    const SlotIndex slot = room.open(3U, kStart, 432'000);
    room.store.refresh(slot, {2000, 0}, 10);
    (void)room.take();
    REQUIRE(room.store.pump(1));
    const auto notices = room.take();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].deadline_ms == 12'000);
}

TEST_CASE("a shortened deadline is announced once per arming") {
    FlowRoom room;
    const SlotIndex slot = room.open(1U, kStart, 432'000);
    FlowHot& h = room.store.hot(slot);
    (void)room.take();

    room.store.refresh(slot, {2000, 0}, 10);
    CHECK(room.take().empty());  // not armed yet: control looks at the lifetime once more after arming

    h.armed.store(h.generation, 432'001'000);
    room.store.refresh(slot, {3000, 0}, 432'000);
    CHECK(room.take().empty());  // moved out
    room.store.refresh(slot, {4000, 0}, 120);
    auto notices = room.take();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].kind == NoticeKind::shortened);
    CHECK(notices[0].deadline_ms == 124'000);
    room.store.refresh(slot, {5000, 0}, 10);
    CHECK(room.take().empty());  // said already

    h.armed.store(h.generation, 124'000);
    room.store.refresh(slot, {6000, 0}, 120);
    CHECK(room.take().empty());
    room.store.refresh(slot, {7000, 0}, 10);
    notices = room.take();
    REQUIRE(notices.size() == 1);
    CHECK(notices[0].deadline_ms == 17'000);
}

TEST_CASE("what was armed for the slot's former flow says nothing about the present one") {
    FlowRoom room(1);
    SlotIndex slot = room.open(1U, kStart, 432'000);
    room.store.hot(slot).armed.store(room.store.hot(slot).generation, 500'000'000);
    room.store.kill(slot, DeathCause::closed);
    slot = room.open(2U, kStart, 432'000);
    (void)room.take();
    room.store.refresh(slot, kStart, 10);
    CHECK(room.take().empty());
}

TEST_CASE("the time of a flow is over at its deadline, to the millisecond") {
    FlowRoom room;
    const SlotIndex slot = room.open(1U, kStart, 10);
    CHECK_FALSE(room.store.expired(slot, {10'999, 0}));
    CHECK(room.store.expired(slot, {11'000, 0}));
}

TEST_CASE("a stub is a reply key that names another worker's flow") {
    FlowRoom room;
    const FlowKey reply = invert(FlowRoom::key(1));
    REQUIRE(room.store.add_stub(reply, 3, FlowRoom::key(1)));
    CHECK_FALSE(room.store.add_stub(reply, 3, FlowRoom::key(1)));
    const FlowRef ref = room.find(reply);
    REQUIRE(room.store.is_stub(ref));
    CHECK(room.store.stub(ref).owner == 3);
    CHECK(room.store.stub(ref).original == FlowRoom::key(1));
    CHECK(room.counters->stubs.get() == 1);
    SECTION("a message about another flow removes nothing") {
        room.store.remove_stub(reply, 3, FlowRoom::key(2));
        room.store.remove_stub(reply, 2, FlowRoom::key(1));
        CHECK(room.find(reply) == ref);
    }
    SECTION("nor does one about a flow of this worker") {
        const SlotIndex own = room.open(9U);
        room.store.remove_stub(invert(FlowRoom::key(9)), 3, FlowRoom::key(9));
        CHECK(room.find(invert(FlowRoom::key(9))) == FlowRef(own, Direction::reply));
    }
    SECTION("its own message removes it") {
        room.store.remove_stub(reply, 3, FlowRoom::key(1));
        CHECK_FALSE(room.find(reply));
        CHECK(room.counters->stubs.get() == 0);
        CHECK(room.open(1U) != kNoSlot);
    }
}

TEST_CASE("there are as many stubs as there is room for, and removed ones come back") {
    FlowRoom room(8);
    unsigned kept = 0;
    while (room.store.add_stub(invert(FlowRoom::key(100 + kept)), 1, FlowRoom::key(100 + kept))) ++kept;
    CHECK(kept == 8 / 2 + 64);
    room.store.remove_stub(invert(FlowRoom::key(105)), 1, FlowRoom::key(105));
    CHECK(room.store.add_stub(invert(FlowRoom::key(5000)), 1, FlowRoom::key(5000)));
    for (unsigned n = 0; n < 8; ++n) CHECK(room.open(n) != kNoSlot);  // stubs take no flow's place
}

TEST_CASE("the worker that keeps a stub is told before the slot is free, even through a full ring") {
    FlowRoom room(1);
    Ring<PeerMessage> peer("peer" + room.tag, 2, -1);
    room.store.connect_peers(0, {nullptr, &peer});
    const FlowKey key = FlowRoom::key(1);
    const SlotIndex slot = room.fill(key, invert(key));
    room.store.cold(slot).stub_worker = 1;
    REQUIRE(room.store.publish(slot));
    CHECK_FALSE(room.find(invert(key)));  // kept there, not here
    REQUIRE(room.store.post_remove_stub(1, FlowRoom::key(7), FlowRoom::key(8)));
    CHECK_FALSE(room.store.post_remove_stub(1, FlowRoom::key(7), FlowRoom::key(8)));  // full
    room.store.kill(slot, DeathCause::closed);
    CHECK(room.store.has_pending());
    CHECK_FALSE(room.store.pump(10));
    CHECK(room.store.allocate() == kNoSlot);
    std::array<PeerMessage, 2> told;
    REQUIRE(peer.take(told.data(), 2) == 1);
    CHECK(room.store.pump(10));
    REQUIRE(peer.take(told.data(), 2) == 1);
    CHECK(told[0].kind == PeerKind::remove_stub);
    CHECK(told[0].from_worker == 0);
    CHECK(told[0].reply == invert(key));
    CHECK(told[0].original == key);
    CHECK(kinds(room.take()) ==
          std::vector<std::pair<NoticeKind, SlotIndex>>{{NoticeKind::born, slot}, {NoticeKind::died, slot}});
    CHECK(room.store.allocate() == slot);
}

TEST_CASE("a full ring to a peer does not keep births from control for ever, nor lose the stub's message") {
    FlowRoom room(4);
    Ring<PeerMessage> peer("peer" + room.tag, 2, -1);
    room.store.connect_peers(0, {nullptr, &peer});
    const SlotIndex slot = room.fill(FlowRoom::key(1), invert(FlowRoom::key(1)));
    room.store.cold(slot).stub_worker = 1;
    REQUIRE(room.store.publish(slot));
    REQUIRE(room.store.post_remove_stub(1, FlowRoom::key(7), FlowRoom::key(8)));
    room.store.kill(slot, DeathCause::closed);
    (void)room.open(2U);
    std::array<PeerMessage, 2> told;
    (void)peer.take(told.data(), 2);
    CHECK(room.store.pump(10));
    CHECK(peer.take(told.data(), 2) == 1);
    CHECK(room.take().size() == 3);
}

TEST_CASE("eviction takes flows that are not ASSURED, or that are past their deadline") {
    FlowRoom room(16);
    std::vector<SlotIndex> slots;
    for (unsigned n = 0; n < 16; ++n) {
        slots.push_back(room.open(n));
        room.store.set_status(slots.back(), status::kAssured);
    }
    CHECK(room.store.eviction_victim(kStart) == kNoSlot);
    room.store.refresh(slots[7], kStart, 1);
    CHECK(room.store.eviction_victim({2000, 0}) == slots[7]);
    room.store.kill(slots[7], DeathCause::timeout);
    CHECK(room.store.eviction_victim({2000, 0}) == kNoSlot);
    const SlotIndex weak = room.open(99U);
    CHECK(room.store.eviction_victim(kStart) == weak);
    // An answer alone does not save a flow, as in Linux, but those that nobody answered go first.
    room.store.kill(slots[3], DeathCause::flushed);
    const SlotIndex answered = room.open(FlowRoom::key(100, L4Kind::udp));
    room.store.set_status(answered, status::kSeenReply);
    CHECK(room.store.eviction_victim(kStart) == weak);
    room.store.kill(weak, DeathCause::evicted);
    CHECK(room.store.eviction_victim(kStart) == answered);
}

TEST_CASE("eviction takes connections that are being closed, ASSURED or not") {
    FlowRoom room(8);
    std::vector<SlotIndex> slots;
    for (unsigned n = 0; n < 8; ++n) {
        slots.push_back(room.open(FlowRoom::key(n, L4Kind::tcp)));
        room.store.set_tcp_state(slots.back(), TcpState::established);
        room.store.set_status(slots.back(), status::kSeenReply | status::kAssured);
    }
    CHECK(room.store.eviction_victim(kStart) == kNoSlot);
    for (const TcpState state :
         {TcpState::fin_wait, TcpState::close_wait, TcpState::last_ack, TcpState::time_wait, TcpState::close}) {
        room.store.set_tcp_state(slots[5], state);
        CHECK(room.store.eviction_victim(kStart) == slots[5]);
    }
    room.store.set_tcp_state(slots[5], TcpState::syn_recv);
    CHECK(room.store.eviction_victim(kStart) == kNoSlot);
}

TEST_CASE("half-open flows: TCP and SCTP until they are ASSURED, others until they are answered; the oldest is known") {
    FlowRoom room(16);
    CHECK(room.store.oldest_half_open() == kNoSlot);
    const SlotIndex first = room.open(FlowRoom::key(1, L4Kind::udp));
    const SlotIndex second = room.open(FlowRoom::key(2, L4Kind::tcp));
    const SlotIndex third = room.open(FlowRoom::key(3, L4Kind::icmp));
    const SlotIndex fourth = room.open(FlowRoom::key(4, L4Kind::udp));
    CHECK(room.store.half_open() == 4);
    CHECK(room.store.oldest_half_open() == first);
    room.store.set_status(first, status::kSeenReply);
    room.store.set_status(first, status::kSeenReply);
    CHECK(room.store.half_open() == 3);
    CHECK(room.store.oldest_half_open() == second);
    // A SYN-ACK says nothing about who sent the SYN.
    room.store.set_status(second, status::kSeenReply);
    CHECK(room.store.half_open() == 3);
    room.store.kill(third, DeathCause::timeout);
    CHECK(room.store.half_open() == 2);
    room.store.set_status(second, status::kAssured);
    CHECK(room.store.oldest_half_open() == fourth);
    room.store.set_status(fourth, status::kAssured);
    CHECK(room.store.half_open() == 0);
    CHECK(room.store.oldest_half_open() == kNoSlot);
    CHECK(room.counters->flows_half_open.get() == 0);
    room.store.kill(first, DeathCause::timeout);
    const SlotIndex last = room.open(FlowRoom::key(5, L4Kind::tcp));
    CHECK(room.store.half_open() == 1);
    CHECK(room.store.oldest_half_open() == last);
    CHECK(room.counters->flows_half_open.get() == 1);
    // Nor does an INIT ACK.
    const SlotIndex sctp =
        room.open(port_key(IpProto::sctp, ip4(192, 0, 2, 1), be16(5), ip4(203, 0, 113, 9), be16(80)));
    room.store.set_status(sctp, status::kSeenReply);
    CHECK(room.store.half_open() == 2);
    room.store.set_status(sctp, status::kAssured);
    CHECK(room.store.half_open() == 1);
}

TEST_CASE("eviction looks at sixteen slots at most and goes on there the next time") {
    FlowRoom room(64);
    for (unsigned n = 0; n < 64; ++n) {
        const SlotIndex slot = room.open(FlowRoom::key(n, L4Kind::udp));
        room.store.set_status(slot, slot == 40 ? status::kSeenReply : status::kAssured);
    }
    CHECK(room.store.eviction_victim(kStart) == kNoSlot);
    CHECK(room.store.eviction_victim(kStart) == kNoSlot);
    CHECK(room.store.eviction_victim(kStart) == 40);
}

TEST_CASE("the helper's hook hears of a flow's death before its keys go") {
    FlowRoom room;
    struct Seen {
        FlowRoom* room;
        std::vector<SlotIndex> slots;
        bool key_was_there = false;
    } seen{&room, {}};
    room.store.on_helper_death(
        [](void* context, SlotIndex slot) noexcept {
            auto& s = *static_cast<Seen*>(context);
            s.slots.push_back(slot);
            s.key_was_there = static_cast<bool>(s.room->find(s.room->store.key(slot, Direction::original)));
        },
        &seen);
    const SlotIndex plain = room.open(1U), helped = room.open(2U);
    room.store.set_status(helped, status::kHelper);
    room.store.kill(plain, DeathCause::closed);
    room.store.kill(helped, DeathCause::closed);
    CHECK(seen.slots == std::vector<SlotIndex>{helped});
    CHECK(seen.key_was_there);
}

TEST_CASE("gauges and notices follow the flows through 20 000 random steps") {
    const unsigned ring = GENERATE(4U, 16U, 4096U);
    FlowRoom room(32, ring);
    std::mt19937 random(7 + ring);
    std::set<SlotIndex> alive;
    std::vector<SlotIndex> born;               // alive, by age
    std::map<SlotIndex, std::uint32_t> known;  // to control: slot → generation
    unsigned wrong = 0, next = 0;
    const auto listen = [&] {
        for (const Notice& n : room.take(1 + static_cast<unsigned>(random() % 8))) {
            if (n.kind == NoticeKind::born) {
                if (!known.emplace(n.slot, n.generation).second) ++wrong;
            } else {
                const auto it = known.find(n.slot);
                if (it == known.end() || it->second != n.generation) {
                    ++wrong;
                } else if (n.kind == NoticeKind::died) {
                    known.erase(it);
                }
            }
        }
    };
    const auto any = [&] {
        auto it = alive.begin();
        std::advance(it, random() % alive.size());
        return *it;
    };
    for (unsigned step = 0; step < 20'000; ++step) {
        const unsigned dice = static_cast<unsigned>(random() % 12);
        if (dice < 4) {
            const SlotIndex slot = room.open(FlowRoom::key(next++, static_cast<L4Kind>(random() % 4)));
            if (slot != kNoSlot && !alive.insert(slot).second) ++wrong;
            if (slot != kNoSlot) born.push_back(slot);
        } else if (dice < 7 && !alive.empty()) {
            const SlotIndex slot = any();
            room.store.kill(slot, DeathCause::closed);
            alive.erase(slot);
            std::erase(born, slot);
        } else if (dice == 7 && !alive.empty()) {
            room.store.set_status(any(), random() % 2 == 0 ? status::kAssured : status::kSeenReply);
        } else if (dice == 8 && !alive.empty()) {
            const SlotIndex slot = any();
            if (room.store.hot(slot).kind == L4Kind::tcp)
                room.store.set_tcp_state(slot, static_cast<TcpState>(1 + random() % 9));
        } else if (dice == 9) {
            listen();
        } else if (dice == 10) {
            (void)room.store.pump(1 + static_cast<unsigned>(random() % 3));
        } else if (!alive.empty()) {
            const SlotIndex slot = any();
            FlowHot& h = room.store.hot(slot);
            if (known.contains(slot) && random() % 2 == 0) h.armed.store(h.generation, 10'000'000);
            room.store.refresh(slot, kStart, static_cast<std::uint32_t>(random() % 20'000));
        }
        std::array<std::uint64_t, kTcpStateCount> tcp{};
        std::uint64_t udp = 0, icmp = 0, generic = 0, assured = 0;
        for (const SlotIndex slot : alive) {
            const FlowHot& h = room.store.hot(slot);
            if (!h.alive) ++wrong;
            assured += h.has(status::kAssured) ? 1 : 0;
            tcp[static_cast<std::size_t>(h.tcp_state)] += h.kind == L4Kind::tcp ? 1 : 0;
            udp += h.kind == L4Kind::udp ? 1 : 0;
            icmp += h.kind == L4Kind::icmp ? 1 : 0;
            generic += h.kind == L4Kind::generic ? 1 : 0;
        }
        for (std::size_t s = 0; s < kTcpStateCount; ++s) wrong += room.counters->flows_tcp[s].get() != tcp[s] ? 1 : 0;
        wrong += room.counters->flows_of[static_cast<std::size_t>(L4Kind::udp)].get() != udp ||
                         room.counters->flows_of[static_cast<std::size_t>(L4Kind::icmp)].get() != icmp
                     ? 1
                     : 0;
        wrong += room.counters->flows_of[static_cast<std::size_t>(L4Kind::generic)].get() != generic ? 1 : 0;
        wrong += room.counters->flows_assured.get() != assured ? 1 : 0;
        const auto half_open = [&](SlotIndex slot) {
            const FlowHot& h = room.store.hot(slot);
            return !h.has(status::kAssured) && (h.kind == L4Kind::tcp || !h.has(status::kSeenReply));
        };
        const auto oldest = std::ranges::find_if(born, half_open);
        wrong += room.store.oldest_half_open() != (oldest == born.end() ? kNoSlot : *oldest) ? 1 : 0;
        wrong += room.store.half_open() != std::ranges::count_if(born, half_open) ? 1 : 0;
        wrong += room.counters->flows_half_open.get() != room.store.half_open() ? 1 : 0;
        wrong += room.store.live() != alive.size() ? 1 : 0;
        wrong += room.store.table().size() != 2 * alive.size() ? 1 : 0;
    }
    while (!room.store.pump(100)) listen();
    while (room.to_control.count() != 0) listen();
    CHECK(wrong == 0);
    CHECK(known.size() == alive.size());
    for (const auto& [slot, generation] : known) CHECK(room.store.is(slot, generation));
    CHECK(next > 5000);
}

TEST_CASE("flows with a translated source are found by it, the newest first, until they end") {
    FlowRoom room;
    const Ip4 outside = ip4(198, 51, 100, 1), client = ip4(192, 0, 2, 7);
    const auto original = [&](unsigned server, unsigned port = 5000) {
        return port_key(IpProto::udp, client, be16(port), Ip4::from_host(ip4(203, 0, 113, 0).host() + server),
                        be16(53));
    };
    const auto open = [&](const FlowKey& key, unsigned mapped, Now now = kStart) {
        FlowKey reply = invert(key);
        reply.set_dst(outside);
        reply.dport = be16(mapped);
        const SlotIndex slot = room.fill(key, reply, now);
        room.store.hot(slot).status = status::kSourceNat;
        REQUIRE(room.store.publish(slot));
        return slot;
    };
    const auto mappings = [&](const FlowKey& key, Now now = kStart) {
        std::vector<unsigned> ports;
        CHECK_FALSE(room.store.find_mapping(key, room.store.source_hash(key), now, [&](const FlowKey& reply) {
            ports.push_back(reply.dport.host());
            return false;
        }));
        return ports;
    };
    const FlowKey asks = original(200);
    CHECK(mappings(asks).empty());
    std::vector<SlotIndex> slots;
    for (unsigned i = 0; i < 3; ++i) slots.push_back(open(original(i), 6000 + i));
    CHECK(mappings(asks) == std::vector{6002U, 6001U, 6000U});
    unsigned shown = 0;
    CHECK(room.store.find_mapping(asks, room.store.source_hash(asks), kStart,
                                  [&](const FlowKey&) { return ++shown == 2; }));
    CHECK(shown == 2);

    SECTION("only those of the same source") {
        CHECK(mappings(original(0, 5001)).empty());
        FlowKey other = asks;
        other.proto = static_cast<std::uint8_t>(IpProto::tcp);
        CHECK(mappings(other).empty());
        other = asks;
        other.zone = 1;
        CHECK(mappings(other).empty());
        other = asks;
        other.set_src(ip4(192, 0, 2, 8));
        CHECK(mappings(other).empty());
        REQUIRE(room.open(original(9)) != kNoSlot);  // not translated
        CHECK(mappings(asks).size() == 3);
    }
    SECTION("not past their time") {
        CHECK(mappings(asks, {61'000, 0}).empty());
    }
    SECTION("in whatever order they end") {
        const auto order =
            GENERATE(std::array{0U, 1U, 2U}, std::array{2U, 1U, 0U}, std::array{1U, 0U, 2U}, std::array{1U, 2U, 0U});
        std::vector<unsigned> left{6002, 6001, 6000};
        for (const unsigned i : order) {
            room.store.kill(slots[i], DeathCause::closed);
            std::erase(left, 6000 + i);
            CHECK(mappings(asks) == left);
        }
        open(original(7), 7000);
        CHECK(mappings(asks) == std::vector{7000U});
    }
    SECTION("no more than so many are looked at") {
        for (unsigned i = 3; i < 50; ++i) open(original(i), 6000 + i);
        CHECK(mappings(asks).size() == FlowStore::kMappingsLooked);
    }
}

TEST_CASE("of many sources each one's flows are found, and no other's") {
    FlowRoom room(4096);
    const auto source = [](unsigned n) { return FlowRoom::key(n, L4Kind::udp); };
    std::mt19937 random(7);
    std::map<unsigned, SlotIndex> live;
    const auto found = [&](unsigned n) {
        unsigned count = 0;
        room.store.find_mapping(source(n), room.store.source_hash(source(n)), kStart, [&](const FlowKey& reply) {
            CHECK(reply.dport.host() == 2000 + n);
            return ++count == 0;
        });
        return count;
    };
    for (unsigned i = 0; i < 20'000; ++i) {
        const unsigned n = static_cast<unsigned>(random()) % 3000;
        if (const auto at = live.find(n); at != live.end()) {
            room.store.kill(at->second, DeathCause::closed);
            live.erase(at);
        } else {
            FlowKey reply = invert(source(n));
            reply.dport = be16(2000 + n);
            const SlotIndex slot = room.fill(source(n), reply);
            REQUIRE(slot != kNoSlot);
            room.store.hot(slot).status = status::kSourceNat;
            REQUIRE(room.store.publish(slot));
            live[n] = slot;
        }
        if (i % 64 == 0) (void)room.take(1024);
        while (room.store.has_pending() && !room.store.pump(64)) (void)room.take(1024);
    }
    for (unsigned n = 0; n < 3000; ++n) CHECK(found(n) == (live.contains(n) ? 1 : 0));
}

TEST_CASE("keys by which errors find ESP flows never take the place of a flow") {
    constexpr unsigned kFlows = 4096;
    FlowRoom room(kFlows, 65536);
    for (unsigned n = 0; n < kFlows; ++n) {
        FlowKey key = generic_key(static_cast<std::uint8_t>(IpProto::esp),
                                  Ip4::from_host(ip4(198, 51, 100, 0).host() + n), ip4(203, 0, 113, 9));
        key.dport = be16(1000);
        const SlotIndex slot = room.fill(key, invert(key));
        room.store.hot(slot).half[0].plan = RewritePlan::between(key, key);
        REQUIRE(room.store.publish(slot));
    }
    CHECK(room.store.live() == kFlows);
    CHECK(room.store.table().size() > 2 * kFlows);  // there are such keys
    for (SlotIndex slot = 0; slot < kFlows; ++slot) room.store.kill(slot, DeathCause::timeout);
    CHECK(room.store.table().size() == 0);
}

// A flow store with its counters and its mailbox to control, and short ways to open flows in it. No traffic: the tests
// play the worker (and, where it matters, the control thread).
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/counters.hh"
#include "dataplane/flow/mailbox.hh"
#include "dataplane/lookup/flow_store.hh"
#include "tests/support/eal.hh"

namespace sluice::test {

struct FlowRoom : EalFixture {
    static constexpr HashSecret kSecret{0x0123456789abcdefU, 0xfedcba9876543210U};

    explicit FlowRoom(std::uint32_t capacity = 64, unsigned notices = 1024)
        : tag(std::to_string(next_number())),
          to_control("notices" + tag, notices, -1),
          store({.capacity = capacity, .socket = -1, .secret = kSecret}, *counters, to_control) {}

    static unsigned next_number() {
        static unsigned number = 0;
        return number++;
    }

    /// The n-th of many tuples, from the inside to 203.0.113.9.
    static FlowKey key(unsigned n, L4Kind kind = L4Kind::tcp) {
        const Ip4 client = Ip4::from_host(ip4(192, 0, 2, 1).host() + n / 50000);
        const Ip4 server = ip4(203, 0, 113, 9);
        switch (kind) {
            case L4Kind::tcp:
                return port_key(IpProto::tcp, client, be16(1024 + n % 50000), server, be16(80));
            case L4Kind::udp:
                return port_key(IpProto::udp, client, be16(1024 + n % 50000), server, be16(53));
            case L4Kind::icmp:
                return icmp_key(client, server, 8, 0, be16(n % 50000));
            default:
                break;
        }
        return generic_key(200, Ip4::from_host(ip4(198, 51, 100, 0).host() + n), server);
    }

    /// A slot filled as policy would, not published.
    SlotIndex fill(const FlowKey& original, const FlowKey& reply, Now now = {1000, 0}, std::uint32_t timeout_s = 60) {
        const SlotIndex slot = store.allocate();
        if (slot == kNoSlot) return slot;
        FlowHot& h = store.hot(slot);
        store.flow(slot).set_key(Direction::original, original);
        store.flow(slot).set_key(Direction::reply, reply);
        h.kind = original.kind();
        h.tcp_state = h.kind == L4Kind::tcp ? TcpState::syn_sent : TcpState::none;
        h.created_ms = now.ms;
        store.refresh(slot, now, timeout_s);
        return slot;
    }
    /// A live flow without NAT; kNoSlot when there is no room.
    SlotIndex open(const FlowKey& original, Now now = {1000, 0}, std::uint32_t timeout_s = 60) {
        const SlotIndex slot = fill(original, invert(original), now, timeout_s);
        return slot != kNoSlot && store.publish(slot) ? slot : kNoSlot;
    }
    SlotIndex open(unsigned n, Now now = {1000, 0}, std::uint32_t timeout_s = 60) {
        return open(key(n), now, timeout_s);
    }
    /// What control would read now.
    std::vector<Notice> take(unsigned max = 64) {
        std::vector<Notice> all(max);
        all.resize(to_control.take(all.data(), max));
        return all;
    }
    [[nodiscard]] FlowRef find(const FlowKey& k) { return store.table().lookup(k, store.table().hash(k)); }

    std::string tag;
    std::unique_ptr<WorkerCounters> counters = std::make_unique<WorkerCounters>();
    Ring<Notice> to_control;
    FlowStore store;
};

}  // namespace sluice::test

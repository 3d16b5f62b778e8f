// Fragments one by one through parse and reassembly, with the packet balance checked at each.
#pragma once

#include <optional>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/flow/chain.hh"
#include "dataplane/ingress/parse.hh"
#include "dataplane/ingress/reassembly.hh"
#include "tests/support/packet_room.hh"

namespace sluice::test {

struct ReassemblyRoom : PacketRoom {
    explicit ReassemblyRoom(Reassembly::Options o = {}) : options(o) { ports->enable_ipv6(true); }
    ReassemblyRoom(const ReassemblyRoom&) = delete;
    ReassemblyRoom& operator=(const ReassemblyRoom&) = delete;
    ~ReassemblyRoom() {
        reassembly.reset();
        CHECK(balance_in() == balance_out());
    }

    /// The datagram, if this was the fragment that it waited for. Its buffers are freed here.
    std::optional<Frame> add(const Frame& frame) {
        if (!reassembly) reassembly.emplace(options, HashSecret{1, 2}, disposal);
        Packet p;
        p.mbuf = make_mbuf(pool, frame);
        ++came;
        REQUIRE(parse(p, *ports, disposal) == Arrival::fragment);
        rte_mbuf* m = reassembly->add(p, now);
        CHECK(p.mbuf == nullptr);
        joined += m != nullptr;
        CHECK(counters->balance.held.get() == reassembly->pieces());
        CHECK(counters->fragments_held.get() == reassembly->pieces());
        CHECK(balance_in() == balance_out());
        if (m == nullptr) return std::nullopt;
        largest = largest_piece_of(m);
        Packet whole;
        whole.mbuf = m;
        whole.in_port = kLan;
        CHECK(m->pkt_len == frame_of(m).size());
        parsed = parse(whole, *ports, disposal);
        std::optional<Frame> result;
        if (parsed == Arrival::gone) {
            ++gone;
            disposal.flush();
            return Frame{};
        }
        CHECK(whole.largest_piece == largest);
        result = frame_of(m);
        rte_pktmbuf_free(m);
        return result;
    }
    std::optional<Frame> add_all(const std::vector<Frame>& frames) {
        std::optional<Frame> result;
        for (const Frame& f : frames) {
            CHECK_FALSE(result);
            result = add(f);
        }
        return result;
    }
    unsigned expire() {
        unsigned told = 0;
        reassembly->expire(now, [&](const Packet& first) {
            ++told;
            CHECK(first.source() == sender);
        });
        disposal.flush();
        return told;
    }
    std::uint64_t balance_in() const { return came; }
    /// Datagrams that the test took count as one packet each; what parse dropped of them is in drops().
    std::uint64_t balance_out() const {
        return counters->balance.held.get() + counters->balance.merged.get() + drops() + joined - gone;
    }
    Reassembly::Options options;
    IpAddress sender = ip4(192, 0, 2, 7);  ///< of whatever is timed out
    std::optional<Reassembly> reassembly;
    Now now{1000, 0};
    std::uint64_t came = 0, joined = 0, gone = 0;
    std::uint16_t largest = 0;
    Arrival parsed{};
};

}  // namespace sluice::test

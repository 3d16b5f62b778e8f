#include "dataplane/transmit/fragment.hh"

#include "tests/unit/dataplane/transmit/egress_room.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

struct CuttingRoom : EgressRoom {
    std::vector<rte_mbuf*> pieces_of(Packet& p, std::uint16_t mtu) {
        std::vector<rte_mbuf*> made;
        each_piece(cut(p, mtu, pool, disposal), [&](rte_mbuf* m) {
            CHECK(m->next == nullptr);
            made.push_back(m);
        });
        return made;
    }
};

}  // namespace

TEST_CASE_METHOD(CuttingRoom, "pieces join to the packet, fit the MTU and count as split") {
    for (const std::uint16_t mtu : {std::uint16_t{68}, std::uint16_t{576}, std::uint16_t{1280}, std::uint16_t{1399}}) {
        INFO("MTU " << mtu);
        const auto before = balance().split.get();
        const auto whole = udp(kClient, 1, kServer, 2).payload_bytes(1372).tos(0x28).vlan(20);
        Packet p = arrive(whole);
        REQUIRE(parse_on(p));
        auto made = pieces_of(p, mtu);
        REQUIRE(made.size() >= 2);
        CHECK(balance().split.get() - before == made.size() - 1);
        std::string joined;
        for (rte_mbuf* m : made) {
            CHECK(m->nb_segs == 1);
            const auto d = decode(frame_of(m));
            CHECK(d.error.empty());
            CHECK(d.ip_checksum_ok);
            CHECK(d.total_length <= mtu);
            CHECK(d.padding == 0);
            CHECK(d.ip_id == 0x1234);
            CHECK(d.tos == 0x28);
            CHECK(d.eth_dst == mac(2));
            CHECK(d.more_fragments == (m != made.back()));
            const auto frame = frame_of(m);
            CHECK(d.fragment_offset_bytes == joined.size());
            for (std::size_t i = 14 + 20; i < frame.size(); ++i) joined += static_cast<char>(frame[i]);
        }
        const auto bytes = whole.ip_packet();
        CHECK(joined == std::string(bytes.begin() + 20, bytes.end()));
        rte_pktmbuf_free_bulk(made.data(), static_cast<unsigned>(made.size()));
    }
    CHECK(drops() == 0);
}

TEST_CASE_METHOD(CuttingRoom, "options that belong in every piece are copied, others are blanked") {
    // Security (type 130, copied flag set), then timestamp (68, not copied).
    const std::uint8_t options[] = {130, 4, 1, 2, 68, 8, 5, 0, 0, 0, 0, 0};
    Packet p = forwarded(udp(kClient, 1, kServer, 2).ip_option(options).payload_bytes(1000));
    auto made = pieces_of(p, 576);
    REQUIRE(made.size() == 2);
    CHECK(decode(frame_of(made[0])).ip_options.size() == 12);
    const auto later = decode(frame_of(made[1]));
    CHECK(later.ip_options == std::vector<std::uint8_t>{130, 4, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1});
    CHECK(later.ip_checksum_ok);
    rte_pktmbuf_free_bulk(made.data(), 2);
}

TEST_CASE_METHOD(EgressRoom, "what cannot be cut is dropped under its name") {
    Packet tiny = forwarded(udp(kClient, 1, kServer, 2).payload_bytes(100));
    CHECK(cut(tiny, 27, pool, disposal) == nullptr);
    CHECK(drops(DropReason::fragment_failed) == 1);

    std::vector<rte_mbuf*> all;
    Packet p = forwarded(udp(kClient, 1, kServer, 2).payload_bytes(1000));
    while (rte_mbuf* m = rte_pktmbuf_alloc(pool)) all.push_back(m);
    CHECK(cut(p, 576, pool, disposal) == nullptr);
    CHECK(drops(DropReason::no_buffer) == 1);
    CHECK(balance().split.get() == 0);
    rte_pktmbuf_free_bulk(all.data(), static_cast<unsigned>(all.size()));
}

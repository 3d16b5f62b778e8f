// FTP over IPv6 (RFC 2428): EPRT |2| and EPSV through every translation, the data connections they announce, and the
// numbers of a stream whose commands change their length by more than IPv4's ever do.
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/ftp_session.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

std::string eprt(const IpAddress& address, unsigned port) {
    return "EPRT |2|" + to_text(address) + "|" + std::to_string(port) + "|\r\n";
}

/// The inside has the longest address there is.
constexpr IpAddress kLong = ip6(0x2001, 0xdb8, 1, 0, 0x1111, 0x2222, 0x3333, 0x4444);

}  // namespace

TEST_CASE("FTP over IPv6: every mode through every translation") {
    const Nat nat = GENERATE(Nat::none, Nat::snat, Nat::dnat);
    FtpBox box;
    box.configure_nat(nat);
    Session s(box, nat, true);
    INFO("translation " << static_cast<int>(nat));
    s.open();
    CHECK(s.server_says("220 ready\r\n").payload == "220 ready\r\n");
    SECTION("EPRT") {
        CHECK(s.client_says(eprt(s.client, 20000)).payload == eprt(s.client_seen, 20000));
        CHECK(box.expectations() == 1);
        s.check_active_data(20000, 20000);
    }
    SECTION("EPRT with a delimiter of its own, and the address written at length") {
        const auto line = [](const std::string& address) { return "eprt  !2!" + address + "!20000!\r\n"; };
        const std::string at_length =
            nat == Nat::dnat ? "2001:0db8:0002:0000:0000:0000:0000:0010" : "2001:0DB8:0001:0000:0000:0000:0000:0010";
        // What need not be changed is left as it was written.
        CHECK(s.client_says(line(at_length)).payload == line(nat == Nat::snat ? to_text(s.client_seen) : at_length));
        s.check_active_data(20000, 20000);
    }
    SECTION("EPSV") {
        CHECK(s.client_says("EPSV\r\n").payload == "EPSV\r\n");
        CHECK(s.server_says("229 Entering Extended Passive Mode (|||30000|)\r\n").payload ==
              "229 Entering Extended Passive Mode (|||30000|)\r\n");
        CHECK(box.expectations() == 1);
        s.check_passive_data(30000, 30000);
    }
    SECTION("EPSV 2") {
        CHECK(s.client_says("EPSV 2\r\n").payload == "EPSV 2\r\n");
        CHECK(s.server_says("229 Extended (!!!30000!)\r\n").payload == "229 Extended (!!!30000!)\r\n");
        s.check_passive_data(30000, 30000);
    }
    CHECK(box.expectations() == 0);
    CHECK(box.count(&WorkerCounters::expect_fulfilled) == 1);
    CHECK((data_flow(box).status & status::kHelper) == 0);
    CHECK(s.server_says("150 here it comes\r\n").payload == "150 here it comes\r\n");
    CHECK(s.client_says("NOOP\r\n").payload == "NOOP\r\n");
    CHECK(box.all_drops() == 0);
}

TEST_CASE_METHOD(FtpBox, "FTP over IPv6: the numbers of the stream follow commands that shrink by many bytes") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat, true);
    s.client = kLong;
    s.client_seq = 0xffffffe0U;  // and over the wrap-around
    s.open();
    int shift = 0;
    for (unsigned i = 0; i < 5; ++i) {
        const std::string line = eprt(kLong, 20000 + i), told = eprt(kBoxOutside6, 20000 + i);
        CHECK(s.client_says(line).payload == told);
        shift += static_cast<int>(told.size()) - static_cast<int>(line.size());
        CHECK(s.client_shift == shift);
        CHECK(s.server_says("200 EPRT command successful\r\n").payload == "200 EPRT command successful\r\n");
    }
    CHECK(shift == -5 * 19);
    CHECK((flow().status & status::kSeqAdjust) != 0);
    // The same segment again is rewritten again, to the same text and number.
    const std::string line = eprt(kLong, 21000);
    const PacketBuilder packet = s.from_client().flags(kPsh | kAck).payload(line);
    const Decoded first = s.client_says(line);
    send("lan", packet);
    const Decoded again = one("wan");
    CHECK(again.payload == first.payload);
    CHECK(again.seq == first.seq);
    CHECK(again.valid_checksums());
    CHECK(s.client_says("QUIT\r\n").payload == "QUIT\r\n");
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FtpBox, "FTP over IPv6: a command that grows by many bytes") {
    configure(kFtpFilter +
              "nat: [{out: wan, src: \"2001:db8:1::/64\", snat: {to: \"2001:db8:2:0:1111:2222:3333:4444\"}}]\n");
    const IpAddress pool = ip6(0x2001, 0xdb8, 2, 0, 0x1111, 0x2222, 0x3333, 0x4444);
    Session s(*this, Nat::snat, true);
    s.client_seen = pool;
    s.open();
    const std::string line = eprt(kInside6, 20000), told = eprt(pool, 20000);
    REQUIRE(told.size() > line.size() + 15);
    CHECK(s.client_says(line).payload == told);
    s.check_active_data(20000, 20000);
    CHECK(s.server_says("150 data\r\n").payload == "150 data\r\n");
    CHECK(s.client_says(line).payload == told);
    CHECK(s.client_says("NOOP\r\n").payload == "NOOP\r\n");
    CHECK(all_drops() == 0);
}

TEST_CASE("FTP over IPv6: a command split at any place is held, acknowledged and joined") {
    const std::string command = eprt(kInside6, 20000);
    for (std::size_t cut = 1; cut < command.size(); ++cut) {
        INFO("cut at " << cut);
        FtpBox box;
        box.configure_nat(Nat::snat);
        Session s(box, Nat::snat, true);
        s.open();
        const std::uint32_t begin = s.client_seq;
        box.send("lan", s.from_client().flags(kPsh | kAck).payload(command.substr(0, cut)));
        const Decoded probe = box.one("wan");
        CHECK(probe.payload.empty());
        CHECK(probe.seq == begin - 1);
        CHECK(probe.valid_checksums());
        box.send("wan", s.from_server());
        const Decoded lifted = box.one("lan");
        CHECK(lifted.ack == begin + cut);
        CHECK(lifted.valid_checksums());
        s.client_seq += static_cast<std::uint32_t>(cut);
        box.send("lan", s.from_client().flags(kPsh | kAck).payload(command.substr(cut)));
        const Decoded joined = box.one("wan");
        CHECK(joined.payload == eprt(kBoxOutside6, 20000));
        CHECK(joined.seq == begin);
        CHECK(joined.valid_checksums());
        CHECK(box.expectations() == 1);
        CHECK(box.count(&WorkerCounters::alg_joined) == 1);
    }
}

TEST_CASE_METHOD(FtpBox, "FTP over IPv6: announcements that lie are let through as they are, and open nothing") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat, true);
    s.open();
    const auto refused = [&](const std::string& line) {
        INFO(line);
        CHECK(s.client_says(line).payload == line);
        CHECK(expectations() == 0);
    };
    refused(eprt(ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x66), 20000));  // somebody else's address
    refused("EPRT |1|192.168.1.10|20000|\r\n");                     // of the other family
    refused("EPRT |2|::ffff:192.168.1.10|20000|\r\n");              // and in disguise
    refused(eprt(kInside6, 80));
    refused("EPRT |2|2001:db8:1::10|99999|\r\n");
    refused("EPRT |2|2001:db8:1::10\r\n");
    refused("EPRT |3|2001:db8:1::10|20000|\r\n");
    refused("PORT 192,168,1,10,78,32\r\n");
    CHECK(s.client_says(eprt(kInside6, 20000)).payload == eprt(kBoxOutside6, 20000));
    CHECK(expectations() == 1);
    // Another host, or another port, is not what was announced; nor is IPv4.
    send("wan", tcp(ip6(0x2001, 0xdb8, 2, 0, 0, 0, 0, 0x66), 20, kBoxOutside6, 20000).flags(kSyn));
    send("wan", tcp(kOutside6, 20, kBoxOutside6, 20001).flags(kSyn));
    send("wan", tcp(kOutside, 20, kBoxOutside, 20000).flags(kSyn));
    CHECK(quiet("lan"));
    CHECK(expectations() == 1);
    s.check_active_data(20000, 20000);
}

TEST_CASE_METHOD(FtpBox, "FTP over IPv6: an announced port that is taken outside is told as another one") {
    configure_nat(Nat::snat);
    send("lan", tcp(kOtherClient6, 20000, kOutside6, 21).flags(kSyn));
    CHECK(one("wan").src == kBoxOutside6);
    Session first(*this, Nat::snat, true);
    first.open();
    CHECK(first.client_says(eprt(kInside6, 20000)).payload == eprt(kBoxOutside6, 20000));
    Session second(*this, Nat::snat, true);
    second.client = kOtherClient6;
    second.sport = second.sport_seen = 41000;
    second.open();
    const Decoded told = second.client_says(eprt(kOtherClient6, 20000));
    CHECK(told.payload != eprt(kBoxOutside6, 20000));
    CHECK(told.payload.starts_with("EPRT |2|2001:db8:2::1|"));
    const unsigned port = static_cast<unsigned>(std::stoul(told.payload.substr(22)));
    second.check_active_data(port, 20000);
    first.check_active_data(20000, 20000);
}

TEST_CASE("FTP over IPv6 and IPv4 side by side, on two workers") {
    BoxOptions options;
    options.workers = 2;
    FtpBox box(options);
    box.configure_nat(Nat::snat);
    for (const bool v6 : {true, false}) {
        Session s(box, Nat::snat, v6);
        s.open();
        CHECK(s.client_says("EPSV\r\n").payload == "EPSV\r\n");
        CHECK(s.server_says("229 Extended (|||30000|)\r\n").payload == "229 Extended (|||30000|)\r\n");
        s.check_passive_data(30000, 30000);
        const std::string line = v6 ? eprt(s.client, 20000) : "PORT " + with_commas(s.client, 20000) + "\r\n";
        const std::string told = v6 ? eprt(s.client_seen, 20000) : "PORT " + with_commas(s.client_seen, 20000) + "\r\n";
        CHECK(s.client_says(line).payload == told);
        s.check_active_data(20000, 20000);
    }
    CHECK(box.all_drops() == 0);
}

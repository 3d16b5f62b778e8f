// The FTP helper through the whole data plane: what each side sends, what the other side reads, and whether the data
// connection that was announced comes to be and is translated. The filter lets only control connections in as NEW, so
// every data connection that passes is RELATED.
#include <array>

#include <catch2/catch.hpp>

#include "tests/support/ftp_session.hh"

using namespace sluice;
using namespace sluice::test;

TEST_CASE("FTP: every mode through every translation") {
    const Nat nat = GENERATE(Nat::none, Nat::snat, Nat::dnat);
    FtpBox box;
    box.configure_nat(nat);
    Session s(box, nat);
    INFO("translation " << static_cast<int>(nat));
    s.open();
    CHECK(s.server_says("220 ready\r\n").payload == "220 ready\r\n");

    SECTION("PORT") {
        CHECK(s.client_says("PORT " + with_commas(s.client, 20000) + "\r\n").payload ==
              "PORT " + with_commas(s.client_seen, 20000) + "\r\n");
        CHECK(box.expectations() == 1);
        s.check_active_data(20000, 20000);
    }
    SECTION("EPRT") {
        CHECK(s.client_says("EPRT |1|" + to_text(s.client) + "|20000|\r\n").payload ==
              "EPRT |1|" + to_text(s.client_seen) + "|20000|\r\n");
        CHECK(box.expectations() == 1);
        s.check_active_data(20000, 20000);
    }
    SECTION("PASV") {
        CHECK(s.client_says("PASV\r\n").payload == "PASV\r\n");
        CHECK(s.server_says("227 Entering Passive Mode (" + with_commas(s.server, 30000) + ").\r\n").payload ==
              "227 Entering Passive Mode (" + with_commas(s.server_seen, 30000) + ").\r\n");
        CHECK(box.expectations() == 1);
        s.check_passive_data(30000, 30000);
    }
    SECTION("EPSV") {
        CHECK(s.client_says("EPSV\r\n").payload == "EPSV\r\n");
        CHECK(s.server_says("229 Entering Extended Passive Mode (|||30000|)\r\n").payload ==
              "229 Entering Extended Passive Mode (|||30000|)\r\n");
        CHECK(box.expectations() == 1);
        s.check_passive_data(30000, 30000);
    }
    CHECK(box.expectations() == 0);
    CHECK(box.count(&WorkerCounters::expect_fulfilled) == 1);
    CHECK((data_flow(box).status & status::kHelper) == 0);
    // The connection goes on with shifted numbers, in both directions.
    CHECK(s.server_says("150 here it comes\r\n").payload == "150 here it comes\r\n");
    CHECK(s.client_says("NOOP\r\n").payload == "NOOP\r\n");
    CHECK(box.all_drops() == 0);
}

TEST_CASE_METHOD(FtpBox, "FTP: without an announcement no data connection comes in") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    send("wan", tcp(kOutside, 20, kBoxOutside, 20000).flags(kSyn));
    CHECK(quiet("lan"));
    CHECK(s.client_says("PORT " + with_commas(kInside, 20000) + "\r\n").payload != "");
    // Another host, or another port, is not what was announced.
    send("wan", tcp(ip4(203, 0, 113, 66), 20, kBoxOutside, 20000).flags(kSyn));
    send("wan", tcp(kOutside, 20, kBoxOutside, 20001).flags(kSyn));
    CHECK(quiet("lan"));
    CHECK(expectations() == 1);
}

TEST_CASE_METHOD(FtpBox, "FTP: a helper that is switched off makes no expectations") {
    configure_nat(Nat::snat, "helpers: {ftp: {enabled: false}}\n");
    Session s(*this, Nat::snat);
    s.open();
    CHECK(s.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 192,168,1,10,78,32\r\n");
    CHECK(expectations() == 0);
    CHECK((flow().status & status::kHelper) == 0);
}

TEST_CASE_METHOD(FtpBox, "FTP: numbers are shifted over the wrap-around, SACK blocks too") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.client_seq = 0xfffffff0U;
    s.open();
    const std::uint32_t begin = s.client_seq;
    const std::string port = "PORT 192,168,1,10,78,32\r\n";
    CHECK(s.client_says(port).payload == "PORT 203,0,113,1,78,32\r\n");
    CHECK(s.client_shift == -1);
    CHECK((flow().status & status::kSeqAdjust) != 0);
    // Two more commands; the server has the second only and says so.
    const std::uint32_t second = s.client_seq;
    CHECK(s.client_says("NOOP\r\n").payload == "NOOP\r\n");
    CHECK(s.client_says("SYST\r\n").payload == "SYST\r\n");
    const std::uint32_t third = second + 6;
    const std::array<std::pair<std::uint32_t, std::uint32_t>, 1> block{{{third - 1, third + 6 - 1}}};
    send("wan", tcp(s.server, 21, s.client_seen, s.sport_seen).seq(s.server_seq).ack(second - 1).sack(block));
    const Decoded answer = one("lan");
    CHECK(answer.ack == second);
    REQUIRE(answer.sack.size() == 1);
    CHECK(answer.sack[0] == std::pair(third, third + 6));
    CHECK(answer.valid_checksums());
    // Before the rewritten text nothing moves, and what acknowledges a part of it acknowledges none of it.
    send("wan", tcp(s.server, 21, s.client_seen, s.sport_seen).seq(s.server_seq).ack(begin));
    CHECK(one("lan").ack == begin);
    send("wan", tcp(s.server, 21, s.client_seen, s.sport_seen).seq(s.server_seq).ack(begin + 8));
    CHECK(one("lan").ack == begin);
}

TEST_CASE_METHOD(FtpBox, "FTP: what is sent again is rewritten again, to the same text") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    const PacketBuilder packet = s.from_client().flags(kPsh | kAck).payload("PORT 192,168,1,10,78,32\r\n");
    const Decoded first = s.client_says("PORT 192,168,1,10,78,32\r\n");
    send("lan", packet);
    const Decoded again = one("wan");
    CHECK(again.payload == first.payload);
    CHECK(again.seq == first.seq);
    CHECK(again.valid_checksums());
    CHECK(s.client_says("LIST\r\n").payload == "LIST\r\n");
    send("lan", packet);
    CHECK(one("wan").payload == first.payload);
    CHECK(count(&WorkerCounters::alg_rewrites) == 1);
    CHECK(count(&WorkerCounters::expect_created) == 1);
    s.check_active_data(20000, 20000);
    // A late repetition does not open the port once more.
    send("lan", packet);
    CHECK(one("wan").payload == first.payload);
    CHECK(expectations() == 0);
}

TEST_CASE("FTP: a command split at any place is held, acknowledged and joined") {
    const std::string command = "PORT 192,168,1,10,78,32\r\n";
    const bool answered = GENERATE(true, false);
    for (std::size_t cut = 1; cut < command.size(); ++cut) {
        INFO("cut at " << cut << (answered ? ", probe answered" : ""));
        FtpBox box;
        box.configure_nat(Nat::snat);
        Session s(box, Nat::snat);
        s.open();
        const std::uint32_t begin = s.client_seq;
        box.send("lan", s.from_client().flags(kPsh | kAck).payload(command.substr(0, cut)));
        const Decoded probe = box.one("wan");
        CHECK(probe.payload.empty());
        CHECK(probe.seq == begin - 1);
        CHECK((probe.flags & kPsh) == 0);
        CHECK(probe.valid_checksums());
        if (answered) {
            box.send("wan", s.from_server());
            const Decoded lifted = box.one("lan");
            CHECK(lifted.ack == begin + cut);
            CHECK(lifted.valid_checksums());
        }
        s.client_seq += static_cast<std::uint32_t>(cut);
        box.send("lan", s.from_client().flags(kPsh | kAck).payload(command.substr(cut)));
        const Decoded joined = box.one("wan");
        CHECK(joined.payload == "PORT 203,0,113,1,78,32\r\n");
        CHECK(joined.seq == begin);
        CHECK(joined.valid_checksums());
        CHECK(box.expectations() == 1);
        CHECK(box.count(&WorkerCounters::alg_held) == 1);
        CHECK(box.count(&WorkerCounters::alg_joined) == 1);
        s.client_seq = begin + static_cast<std::uint32_t>(command.size());
        s.client_shift = -1;
        box.send("wan", s.from_server());
        CHECK(box.one("lan").ack == s.client_seq);
        CHECK(s.client_says("LIST\r\n").payload == "LIST\r\n");
        s.check_active_data(20000, 20000);
    }
}

TEST_CASE_METHOD(FtpBox, "FTP: half a command that nobody answers for is forgotten, and repeated by its sender") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    const PacketBuilder half = s.from_client().flags(kPsh | kAck).payload("PORT 192,168,");
    send("lan", half);
    CHECK(one("wan").payload.empty());
    advance(6000);
    for (int i = 0; i < 300; ++i) advance(8);
    CHECK(count(&WorkerCounters::alg_hold_expired) == 1);
    send("lan", half);
    CHECK(one("wan").payload.empty());
    CHECK(count(&WorkerCounters::alg_held) == 2);
}

TEST_CASE_METHOD(FtpBox, "FTP: several commands in one segment are all rewritten") {
    configure_nat(Nat::snat, "helpers: {ftp: {max_expected: 4}}\n");
    Session s(*this, Nat::snat);
    s.open();
    CHECK(s.client_says("NOOP\r\nPORT 192,168,1,10,78,32\r\nEPRT |1|192.168.1.10|20001|\r\nLIST\r\n").payload ==
          "NOOP\r\nPORT 203,0,113,1,78,32\r\nEPRT |1|203.0.113.1|20001|\r\nLIST\r\n");
    CHECK(expectations() == 2);
    CHECK(s.client_says("QUIT\r\n").payload == "QUIT\r\n");
    s.check_active_data(20001, 20001);
}

TEST_CASE_METHOD(FtpBox, "FTP: nothing runs ahead of what the helper has read") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    const std::string command = "PORT 192,168,1,10,78,32\r\n";
    send("lan", tcp(kInside, s.sport, kOutside, 21)
                    .seq(s.client_seq + static_cast<std::uint32_t>(command.size()))
                    .ack(s.server_seq)
                    .flags(kPsh | kAck)
                    .payload("LIST\r\n"));
    CHECK(quiet("wan"));
    CHECK(drops(DropReason::alg_out_of_order) == 1);
    CHECK(s.client_says(command).payload == "PORT 203,0,113,1,78,32\r\n");
    CHECK(s.client_says("LIST\r\n").payload == "LIST\r\n");
}

TEST_CASE_METHOD(FtpBox, "FTP: endpoints that are not the sender's, or privileged, are refused") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    for (const std::string line : {"PORT 192,168,1,77,78,32\r\n", "EPRT |1|198.51.100.7|20000|\r\n"})
        CHECK(s.client_says(line).payload == line);
    CHECK(count(&WorkerCounters::alg_refused_address) == 2);
    CHECK(count(&WorkerCounters::alg_commands) == 0);  // refused is not understood
    for (const std::string line : {"PORT 192,168,1,10,0,25\r\n", "PORT 192,168,1,10,0,0\r\n"})
        CHECK(s.client_says(line).payload == line);
    CHECK(count(&WorkerCounters::alg_refused_port) == 2);
    CHECK(s.client_says("PORT 192,168,1,300,78,32\r\n").payload == "PORT 192,168,1,300,78,32\r\n");
    CHECK(count(&WorkerCounters::alg_malformed) == 1);
    // A reply is no command and a command no reply; text of a multi-line reply is neither.
    CHECK(s.server_says("PORT 203,0,113,10,78,32\r\n").payload == "PORT 203,0,113,10,78,32\r\n");
    CHECK(s.client_says("227 (192,168,1,10,78,32)\r\n").payload == "227 (192,168,1,10,78,32)\r\n");
    CHECK(s.server_says("211-status\r\n").payload == "211-status\r\n");
    CHECK(s.server_says("227 (203,0,113,10,78,32)\r\n").payload == "227 (203,0,113,10,78,32)\r\n");
    CHECK(count(&WorkerCounters::expect_created) == 0);
    CHECK(s.server_says("211 end\r\n").payload == "211 end\r\n");
    CHECK(s.server_says("227 (203,0,113,10,78,32)\r\n").payload == "227 (203,0,113,10,78,32)\r\n");
    CHECK(count(&WorkerCounters::expect_created) == 1);
}

TEST_CASE_METHOD(FtpBox, "FTP: loose believes another address and leaves the text alone") {
    configure_nat(Nat::none, "helpers: {ftp: {loose: true}}\n");
    Session s(*this, Nat::none);
    s.open();
    CHECK(s.client_says("PORT 192,168,1,77,78,32\r\n").payload == "PORT 192,168,1,77,78,32\r\n");
    CHECK(expectations() == 1);
    send("wan", tcp(kOutside, 20, ip4(192, 168, 1, 77), 20000).flags(kSyn));
    CHECK(one("lan").text() == "203.0.113.10:20 > 192.168.1.77:20000 tcp S seq 1000 ttl 63");
}

TEST_CASE_METHOD(FtpBox, "FTP: a server that announces its public address itself is understood") {
    configure_nat(Nat::dnat);
    Session s(*this, Nat::dnat);
    s.open();
    const std::string line = "227 ok (" + with_commas(kBoxOutside, 30000) + ")\r\n";
    CHECK(s.server_says(line).payload == line);
    s.check_passive_data(30000, 30000);
}

TEST_CASE_METHOD(FtpBox, "FTP: after EPSV ALL only 229 announces") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    CHECK(s.client_says("EPSV ALL\r\n").payload == "EPSV ALL\r\n");
    CHECK(s.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 192,168,1,10,78,32\r\n");
    CHECK(expectations() == 0);
    CHECK(s.server_says("229 ok (|||30000|)\r\n").payload == "229 ok (|||30000|)\r\n");
    CHECK(expectations() == 1);
}

TEST_CASE_METHOD(FtpBox, "FTP: an expectation ends with its time") {
    configure_nat(Nat::snat, "helpers: {ftp: {expect_timeout: 20s}}\n");
    Session s(*this, Nat::snat);
    s.open();
    (void)s.client_says("PORT 192,168,1,10,78,32\r\n");
    advance(19000);
    CHECK(expectations() == 1);
    // The same command again counts from now.
    (void)s.client_says("PORT 192,168,1,10,78,32\r\n");
    advance(19000);
    CHECK(expectations() == 1);
    CHECK(count(&WorkerCounters::expect_created) == 1);
    advance(2000);
    CHECK(expectations() == 0);
    CHECK(count(&WorkerCounters::expect_expired) == 1);
    send("wan", tcp(kOutside, 20, kBoxOutside, 20000).flags(kSyn));
    CHECK(quiet("lan"));
}

TEST_CASE_METHOD(FtpBox, "FTP: of more expectations than allowed the oldest gives way") {
    configure_nat(Nat::snat, "helpers: {ftp: {max_expected: 1}}\n");
    Session s(*this, Nat::snat);
    s.open();
    (void)s.client_says("PORT 192,168,1,10,78,32\r\n");
    (void)s.client_says("PORT 192,168,1,10,78,33\r\n");
    CHECK(expectations() == 1);
    CHECK(count(&WorkerCounters::expect_replaced) == 1);
    send("wan", tcp(kOutside, 20, kBoxOutside, 20000).flags(kSyn));
    CHECK(quiet("lan"));
    s.check_active_data(20001, 20001);
}

TEST_CASE_METHOD(FtpBox, "FTP: a port that is promised to another client is told as another port") {
    configure_nat(Nat::snat);
    Session first(*this, Nat::snat), second(*this, Nat::snat);
    second.client = ip4(192, 168, 1, 11);
    second.sport = 41000;
    first.open();
    second.open();
    CHECK(first.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 203,0,113,1,78,32\r\n");
    const PacketBuilder packet = second.from_client().flags(kPsh | kAck).payload("EPRT |1|192.168.1.11|20000|\r\n");
    const std::string told = second.client_says("EPRT |1|192.168.1.11|20000|\r\n").payload;
    REQUIRE(told.substr(0, 20) == "EPRT |1|203.0.113.1|");
    const auto port = static_cast<unsigned>(std::stoul(told.substr(20)));
    CHECK(port != 20000);
    CHECK(port >= 1024);
    send("lan", packet);
    CHECK(one("wan").payload == told);
    CHECK(expectations() == 2);
    first.check_active_data(20000, 20000);
    send("wan", tcp(kOutside, 20, kBoxOutside, port).flags(kSyn));
    CHECK(one("lan").text() == "203.0.113.10:20 > 192.168.1.11:20000 tcp S seq 1000 ttl 63");
}

TEST_CASE_METHOD(FtpBox, "FTP: expectations die with their control connection") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    const std::uint32_t free = lcore(0).alg.free_states();
    s.open();
    CHECK(lcore(0).alg.free_states() == free - 1);
    (void)s.client_says("PORT 192,168,1,10,78,32\r\n");
    CHECK(expectations() == 1);
    send("wan", s.from_server().flags(kRst | kAck));
    CHECK(one("lan").flags == (kRst | kAck));
    advance(15000);
    CHECK(flows().empty());
    CHECK(expectations() == 0);
    CHECK(lcore(0).alg.free_states() == free);
}

TEST_CASE_METHOD(FtpBox, "FTP: the last words before FIN leave as they are") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    send("lan", s.from_client().flags(kFin | kAck).payload("PORT 192,"));
    const Decoded out = one("wan");
    CHECK(out.payload == "PORT 192,");
    CHECK((out.flags & kFin) != 0);
    CHECK(count(&WorkerCounters::alg_held) == 0);
}

TEST_CASE("FTP: with two workers the expectation waits where the data connection will arrive") {
    FtpBox box({.workers = 2});
    box.port("dmz", PortRole::inside, "192.168.2.1/24");
    box.configure_nat(Nat::none);
    // Between two inside ports a flow is at home where its destination is.
    unsigned host = 10;
    while (box.home_of(ip4(192, 168, 2, host)) == box.home_of(kInside)) ++host;
    Session s(box, Nat::none);
    s.server_port = "dmz";
    s.server = s.server_seen = ip4(192, 168, 2, host);
    s.open();
    CHECK(s.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 192,168,1,10,78,32\r\n");
    CHECK(box.lcore(box.home_of(kInside)).expectations.size() == 1);
    CHECK(box.lcore(box.home_of(s.server)).expectations.size() == 0);

    SECTION("it is fulfilled there") {
        s.check_active_data(20000, 20000);
        CHECK(box.count(&WorkerCounters::expect_fulfilled) == 1);
        CHECK((data_flow(box).status & status::kExpected) != 0);
    }
    SECTION("it dies with its master") {
        box.send("dmz", s.from_server().flags(kRst | kAck));
        CHECK(box.one("lan").flags == (kRst | kAck));
        box.advance(15000);
        CHECK(box.flows().empty());
        CHECK(box.expectations() == 0);
    }
}

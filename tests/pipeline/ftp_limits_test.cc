// The FTP helper where it meets a limit or a change: no state left, no room in the packet, switched off by a reload
// while connections live, addresses that are believed though they are not the sender's; and what a data connection has
// from its control connection.
#include <string>

#include <catch2/catch.hpp>

#include "tests/support/ftp_session.hh"

using namespace sluice;
using namespace sluice::test;

namespace {

constexpr Ip4 kPool = ip4(203, 0, 113, 200);  // longer in text than an inside address
const std::string kPoolSnat = "nat: [{out: wan, src: 192.168.1.0/24, snat: {to: 203.0.113.200}}]\n";

struct OneStateBox : FtpBox {
    OneStateBox() : FtpBox({.helper_states = 1}) {}
};

/// `lines` of NOOP that make `tail` end exactly at the end of a packet of 1500 bytes.
std::string filled_up(const std::string& tail, std::size_t payload_bytes) {
    std::string text;
    const std::size_t room = payload_bytes - tail.size();
    while (room - text.size() >= 12) text += "NOOP\r\n";
    text += "NOOP" + std::string(room - text.size() - 6, ' ') + "\r\n";
    return text + tail;
}

}  // namespace

TEST_CASE_METHOD(OneStateBox,
                 "FTP: without a free state a connection goes on without helper, and the next one has it") {
    configure_nat(Nat::snat);
    Session first(*this, Nat::snat), second(*this, Nat::snat), third(*this, Nat::snat);
    second.sport = 41000;
    third.sport = 42000;
    first.open();
    second.open();
    CHECK(count(&WorkerCounters::alg_no_state) == 1);
    CHECK(second.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 192,168,1,10,78,32\r\n");
    CHECK(expectations() == 0);
    CHECK(first.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 203,0,113,1,78,32\r\n");
    CHECK(expectations() == 1);

    send("wan", first.from_server().flags(kRst | kAck));
    (void)one("lan");
    advance(15000);
    CHECK(lcore(0).alg.free_states() == 1);
    third.open();
    CHECK(third.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 203,0,113,1,78,32\r\n");
    CHECK(count(&WorkerCounters::alg_no_state) == 1);
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FtpBox, "FTP: a data connection has the mark of its control connection") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    lcore(0).store.hot(flow().slot).mark = 0x2a;
    (void)s.client_says("PORT 192,168,1,10,78,32\r\n");
    s.check_active_data(20000, 20000);
    CHECK(data_flow(*this).mark == 0x2a);
}

TEST_CASE("FTP: a data connection has the mark also when its replies arrive at another worker") {
    FtpBox box({.workers = 2});
    box.port("dmz", PortRole::inside, "192.168.2.1/24");
    box.configure_nat(Nat::none);
    unsigned host = 10;
    while (box.home_of(ip4(192, 168, 2, host)) == box.home_of(kInside)) ++host;
    Session s(box, Nat::none);
    s.server_port = "dmz";
    s.server = s.server_seen = ip4(192, 168, 2, host);
    s.open();
    box.lcore(box.home_of(s.server)).store.hot(box.flow().slot).mark = 0x2a;
    (void)s.client_says("PORT 192,168,1,10,78,32\r\n");
    s.check_active_data(20000, 20000);
    CHECK(box.count(&WorkerCounters::stub_requests) == 2);  // the control connection, and this one
    CHECK(data_flow(box).mark == 0x2a);
}

TEST_CASE_METHOD(FtpBox, "FTP: a line that grows out of its packet waits for the next one") {
    configure(kFtpFilter + kPoolSnat);
    Session s(*this, Nat::snat);
    s.client_seen = kPool;
    s.open();
    const std::string port = "PORT 192,168,1,10,78,32\r\n";
    const std::string told = "PORT 203,0,113,200,78,32\r\n";
    constexpr std::size_t kPayload = 1500 - 20 - 20;
    SECTION("what stands before it leaves, and it leaves when it is sent again") {
        const std::string text = filled_up(port, kPayload);
        REQUIRE(text.size() == kPayload);
        const std::string before = text.substr(0, kPayload - port.size());
        send("lan", s.from_client().flags(kPsh | kAck).payload(text));
        const Decoded out = one("wan");
        CHECK(out.payload == before);
        CHECK(out.valid_checksums());
        CHECK(all_drops() == 0);
        s.client_seq += static_cast<std::uint32_t>(before.size());
        send("wan", s.from_server());
        CHECK(one("lan").ack == s.client_seq);
        CHECK(s.client_says(port).payload == told);
        CHECK(expectations() == 1);
        CHECK(s.client_shift == 1);
    }
    SECTION("what stands behind it is cut off, and comes again") {
        std::string text = port + filled_up("", kPayload - port.size());
        send("lan", s.from_client().flags(kPsh | kAck).payload(text));
        const Decoded out = one("wan");
        CHECK(out.payload == told + text.substr(port.size(), kPayload - told.size()));
        CHECK(out.valid_checksums());
        const auto passed = static_cast<std::uint32_t>(kPayload - 1);  // of the client's own bytes
        s.client_seq += passed;
        s.client_shift = 1;
        send("wan", s.from_server());
        CHECK(one("lan").ack == s.client_seq);
        CHECK(s.client_says(text.substr(passed)).payload == text.substr(passed));
    }
    CHECK(s.client_says("QUIT\r\n").payload == "QUIT\r\n");
    s.check_active_data(20000, 20000);
}

TEST_CASE_METHOD(FtpBox, "FTP: a reload that switches the helper off leaves live connections whole") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    const PacketBuilder old_line = s.from_client().flags(kPsh | kAck).payload("PORT 192,168,1,10,78,32\r\n");
    CHECK(s.client_says("PORT 192,168,1,10,78,32\r\n").payload == "PORT 203,0,113,1,78,32\r\n");
    CHECK(s.client_shift == -1);
    configure_nat(Nat::snat, "helpers: {ftp: {enabled: false}}\n");

    // Numbers stay shifted, what was rewritten is rewritten again to the same, and what was promised is kept.
    send("lan", old_line);
    CHECK(one("wan").payload == "PORT 203,0,113,1,78,32\r\n");
    CHECK(s.client_says("NOOP\r\n").payload == "NOOP\r\n");
    CHECK(s.server_says("200 ok\r\n").payload == "200 ok\r\n");
    s.check_active_data(20000, 20000);
    // Nothing new is announced.
    CHECK(s.client_says("PORT 192,168,1,10,78,33\r\n").payload == "PORT 192,168,1,10,78,33\r\n");
    CHECK(expectations() == 0);
    CHECK(count(&WorkerCounters::expect_created) == 1);

    SECTION("and switched on again it goes on") {
        configure_nat(Nat::snat);
        CHECK(s.client_says("PORT 192,168,1,10,78,34\r\n").payload == "PORT 203,0,113,1,78,34\r\n");
        s.check_active_data(20002, 20002);
    }
    CHECK(all_drops() == 0);
}

TEST_CASE_METHOD(FtpBox, "FTP: half a command that is held when the helper is switched off is not lost") {
    configure_nat(Nat::snat);
    Session s(*this, Nat::snat);
    s.open();
    send("lan", s.from_client().flags(kPsh | kAck).payload("PORT 192,168,"));
    CHECK(one("wan").payload.empty());
    configure_nat(Nat::snat, "helpers: {ftp: {enabled: false}}\n");
    s.client_seq += 13;
    send("lan", s.from_client().flags(kPsh | kAck).payload("1,10,78,32\r\n"));
    CHECK(one("wan").payload == "PORT 192,168,1,10,78,32\r\n");
    s.client_seq += 12;
    CHECK(s.client_says("NOOP\r\n").payload == "NOOP\r\n");
}

TEST_CASE_METHOD(FtpBox, "FTP: loose, behind source NAT: a server that names another server") {
    configure_nat(Nat::snat, "helpers: {ftp: {loose: true}}\n");
    const Ip4 other = ip4(203, 0, 113, 66);
    Session s(*this, Nat::snat);
    s.open();
    const std::string line = "227 ok (" + with_commas(other, 30000) + ")\r\n";
    CHECK(s.server_says(line).payload == line);
    CHECK(expectations() == 1);
    send("lan", tcp(kInside, 45000, other, 30000).flags(kSyn));
    const Decoded syn = one("wan");
    CHECK(syn.text() == "203.0.113.1:45000 > 203.0.113.66:30000 tcp S seq 1000 ttl 63");
    send("wan", tcp(other, 30000, kBoxOutside, 45000).flags(kSyn | kAck).ack(1001));
    const Decoded back = one("lan");
    CHECK(back.src == other);
    CHECK(back.dst == kInside);
    CHECK(back.dport == 45000);
    CHECK(back.valid_checksums());
}

TEST_CASE_METHOD(FtpBox, "FTP: loose does not keep an own address from being translated") {
    const Nat nat = GENERATE(Nat::snat, Nat::dnat);
    configure_nat(nat, "helpers: {ftp: {loose: true}}\n");
    Session s(*this, nat);
    s.open();
    CHECK(s.client_says("PORT " + with_commas(s.client, 20000) + "\r\n").payload ==
          "PORT " + with_commas(s.client_seen, 20000) + "\r\n");
    s.check_active_data(20000, 20000);
    CHECK(s.server_says("227 ok (" + with_commas(s.server, 30000) + ")\r\n").payload ==
          "227 ok (" + with_commas(s.server_seen, 30000) + ")\r\n");
    s.check_passive_data(30000, 30000);
    CHECK(all_drops() == 0);
}

// One FTP control connection through a box, from both ends, and the data connections that it announces. The filter lets
// only control connections in as NEW, so every data connection that passes is RELATED.
#pragma once

#include <string>

#include <catch2/catch.hpp>

#include "tests/support/two_ports.hh"

namespace sluice::test {

inline constexpr Ip4 kInside = ip4(192, 168, 1, 10);
inline constexpr Ip4 kOutside = ip4(203, 0, 113, 10);
inline constexpr IpAddress kInside6 = kClient6, kOutside6 = kServer6;

inline const std::string kFtpFilter = R"(
filter:
  input: {policy: drop, rules: []}
  forward:
    policy: drop
    rules:
      - {state: [established, related], action: accept}
      - {proto: tcp, dport: 21, action: accept}
  output: {policy: accept, rules: []}
)";
inline const std::string kFtpSnat = R"(
nat:
  - {out: wan, src: 192.168.1.0/24, snat: masquerade}
  - {out: wan, src: "2001:db8:1::/64", snat: masquerade}
)";
inline const std::string kFtpDnat = R"(
nat:
  - {in: wan, dst: 203.0.113.1, proto: tcp, dport: 21, dnat: {to: 192.168.1.10, port: 21}}
  - {in: wan, dst: "2001:db8:2::1", proto: tcp, dport: 21, dnat: {to: "2001:db8:1::10", port: 21}}
)";

enum class Nat { none, snat, dnat };

struct FtpBox : TwoPorts {
    explicit FtpBox(BoxOptions options = {}) : TwoPorts(options) {}
    void configure_nat(Nat nat, const std::string& more = "") {
        configure(kFtpFilter + (nat == Nat::snat ? kFtpSnat : nat == Nat::dnat ? kFtpDnat : "") + more);
    }
    [[nodiscard]] std::uint64_t count(Counter WorkerCounters::*counter) const {
        return sum([&](const WorkerCounters& c) -> const Counter& { return c.*counter; });
    }
    [[nodiscard]] std::uint32_t expectations() {
        return static_cast<std::uint32_t>(count(&WorkerCounters::expectations));
    }
};

inline std::string with_commas(const IpAddress& a, unsigned port) {
    std::string text = to_text(a);
    for (char& c : text)
        if (c == '.') c = ',';
    return text + "," + std::to_string(port >> 8) + "," + std::to_string(port & 255U);
}

/// A control connection. Numbers are those of the side that sends; what the other side should see is told apart by the
/// tests.
struct Session {
    FtpBox& box;
    std::string client_port = "lan", server_port = "wan";
    IpAddress client, client_seen, server, server_seen;
    unsigned sport = 40000, sport_seen = 40000;
    std::uint32_t client_seq = 1000, server_seq = 5000;
    int client_shift = 0, server_shift = 0;  ///< what rewriting has added to each side's stream so far

    Session(FtpBox& b, Nat nat, bool v6 = false) : box(b) {
        const auto of_family = [&](Ip4 a, const IpAddress& a6) { return v6 ? a6 : IpAddress(a); };
        const IpAddress inside = of_family(kInside, kInside6), outside = of_family(kOutside, kOutside6);
        const IpAddress box_outside = of_family(kBoxOutside, kBoxOutside6);
        client = client_seen = inside;
        server = server_seen = outside;
        if (nat == Nat::snat) client_seen = box_outside;
        if (nat == Nat::dnat) {
            client_port = "wan";
            server_port = "lan";
            client = client_seen = outside;
            server = inside;
            server_seen = box_outside;
        }
    }
    PacketBuilder from_client() const {
        return tcp(client, sport, server_seen, 21)
            .seq(client_seq)
            .ack(server_seq + static_cast<std::uint32_t>(server_shift));
    }
    PacketBuilder from_server() const {
        return tcp(server, 21, client_seen, sport_seen)
            .seq(server_seq)
            .ack(client_seq + static_cast<std::uint32_t>(client_shift));
    }
    void open() {
        box.send(client_port, tcp(client, sport, server_seen, 21).flags(kSyn).seq(client_seq));
        sport_seen = box.one(server_port).sport;
        ++client_seq;
        box.send(server_port, from_server().flags(kSyn | kAck));
        CHECK(box.one(client_port).valid_checksums());
        ++server_seq;
        box.send(client_port, from_client());
        CHECK(box.one(server_port).valid_checksums());
    }
    /// Sends and takes it that all of it arrives; returns what the server reads.
    Decoded client_says(const std::string& text) {
        const std::uint32_t seq = client_seq + static_cast<std::uint32_t>(client_shift);
        box.send(client_port, from_client().flags(kPsh | kAck).payload(text));
        Decoded out = box.one(server_port);
        CHECK(out.valid_checksums());
        CHECK(out.seq == seq);
        CHECK(out.ack == server_seq);
        client_shift += static_cast<int>(out.payload.size()) - static_cast<int>(text.size());
        client_seq += static_cast<std::uint32_t>(text.size());
        return out;
    }
    Decoded server_says(const std::string& text) {
        const std::uint32_t seq = server_seq + static_cast<std::uint32_t>(server_shift);
        box.send(server_port, from_server().flags(kPsh | kAck).payload(text));
        Decoded out = box.one(client_port);
        CHECK(out.valid_checksums());
        CHECK(out.seq == seq);
        CHECK(out.ack == client_seq);
        server_shift += static_cast<int>(out.payload.size()) - static_cast<int>(text.size());
        server_seq += static_cast<std::uint32_t>(text.size());
        return out;
    }
    /// A data connection from the server to what it was told, and back.
    void check_active_data(unsigned told, unsigned real) {
        check_data({server_port, server, server_seen, 20}, {client_port, client, client_seen, real}, told);
    }
    /// The same from the client.
    void check_passive_data(unsigned told, unsigned real) {
        check_data({client_port, client, client_seen, 45000}, {server_port, server, server_seen, real}, told);
    }

private:
    struct DataEnd {
        std::string box_port;
        IpAddress real, seen;  ///< its address, and the one by which the other end knows it
        unsigned port;
    };
    /// `from` opens a connection to the port of `to` that it was `told`; a handshake and data pass.
    void check_data(const DataEnd& from, const DataEnd& to, unsigned told) {
        box.send(from.box_port, tcp(from.real, from.port, to.seen, told).flags(kSyn).seq(9000));
        CHECK(box.one(to.box_port).text() ==
              to_text(from.seen, from.port) + " > " + to_text(to.real, to.port) + " tcp S seq 9000 ttl 63");
        box.send(to.box_port, tcp(to.real, to.port, from.seen, from.port).flags(kSyn | kAck).seq(100).ack(9001));
        const Decoded back = box.one(from.box_port);
        CHECK(back.src == to.seen);
        CHECK(back.sport == told);
        CHECK(back.dst == from.real);
        CHECK(back.dport == from.port);
        CHECK(back.valid_checksums());
        box.send(from.box_port, tcp(from.real, from.port, to.seen, told).seq(9001).ack(101).payload("data"));
        CHECK(box.one(to.box_port).payload == "data");
    }
};

inline FlowCopy data_flow(FtpBox& box) {
    for (const FlowCopy& f : box.flows())
        if ((f.status & status::kExpected) != 0) return f;
    FAIL("no data connection");
    return FlowCopy{};
}

}  // namespace sluice::test

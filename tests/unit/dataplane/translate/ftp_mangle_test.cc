#include "dataplane/translate/ftp_mangle.hh"

#include <array>
#include <string>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

std::string text_of(FtpKind kind, Ip4 address, unsigned port, char delimiter = 0) {
    std::array<char, kMaxHostPort> room{};
    return {room.data(), format_host_port(kind, address, be16(port), delimiter, room)};
}

/// Scans `line`, replaces its endpoint, returns the new line.
std::string rewritten(const std::string& line, FtpSide side, Ip4 address, unsigned port) {
    FtpScan scan(line, side);
    const auto command = scan.next();
    REQUIRE(command);
    REQUIRE(command->announces());
    std::array<char, 256> buffer{};
    line.copy(buffer.data(), line.size());
    const auto text = text_of(command->kind, address, port, command->delimiter);
    const auto length = replace_in_payload(buffer, line.size(), command->text_begin, command->text_end, text);
    REQUIRE(length);
    return {buffer.data(), *length};
}

}  // namespace

TEST_CASE("mangle: every kind has its own form") {
    CHECK(text_of(FtpKind::port, ip4(203, 0, 113, 5), 20000) == "203,0,113,5,78,32");
    CHECK(text_of(FtpKind::pasv_reply, ip4(255, 255, 255, 255), 65535) == "255,255,255,255,255,255");
    CHECK(text_of(FtpKind::pasv_reply, ip4(0, 0, 0, 0), 0) == "0,0,0,0,0,0");
    CHECK(text_of(FtpKind::eprt, ip4(203, 0, 113, 5), 20000, '|') == "203.0.113.5|20000");
    CHECK(text_of(FtpKind::eprt, ip4(203, 0, 113, 5), 20000, '!') == "203.0.113.5!20000");
    CHECK(text_of(FtpKind::epsv_reply, ip4(203, 0, 113, 5), 20000, '|') == "20000");
    for (const auto kind : {FtpKind::unknown, FtpKind::epsv, FtpKind::epsv_all, FtpKind::protocol_refused})
        CHECK(text_of(kind, ip4(203, 0, 113, 5), 20000, '|').empty());
}

TEST_CASE("mangle: the line keeps its form around the new endpoint") {
    CHECK(rewritten("PORT 10,0,0,7,4,1\r\n", FtpSide::client, ip4(203, 0, 113, 5), 20000) ==
          "PORT 203,0,113,5,78,32\r\n");
    CHECK(rewritten("eprt  #1#192.0.2.77#40000#\n", FtpSide::client, ip4(198, 51, 100, 1), 1024) ==
          "eprt  #1#198.51.100.1#1024#\n");
    CHECK(rewritten("227 Passive (192,0,2,111,200,200).\r\n", FtpSide::server, ip4(203, 0, 113, 5), 1025) ==
          "227 Passive (203,0,113,5,4,1).\r\n");
    CHECK(rewritten("229 Extended (!!!1024!)\r\n", FtpSide::server, ip4(203, 0, 113, 5), 65535) ==
          "229 Extended (!!!65535!)\r\n");
}

TEST_CASE("mangle: several commands of one payload are replaced from the last to the first") {
    const std::string payload = "PORT 10,0,0,7,4,1\r\nNOOP\r\nPORT 10,0,0,7,4,2\r\n";
    std::array<char, 256> buffer{};
    payload.copy(buffer.data(), payload.size());
    FtpScan scan(payload, FtpSide::client);
    const auto first = scan.next();
    const auto second = scan.next();
    REQUIRE(first);
    REQUIRE(second);
    auto length = replace_in_payload(buffer, payload.size(), second->text_begin, second->text_end, "203,0,113,5,78,33");
    REQUIRE(length);
    length = replace_in_payload(buffer, *length, first->text_begin, first->text_end, "203,0,113,5,78,32");
    REQUIRE(length);
    CHECK(std::string(buffer.data(), *length) == "PORT 203,0,113,5,78,32\r\nNOOP\r\nPORT 203,0,113,5,78,33\r\n");
}

TEST_CASE("mangle: replacing at the edges, and refusing what does not fit") {
    std::array<char, 8> buffer{'a', 'b', 'c', 'd', 'e', 'f', '\0', '\0'};
    CHECK_FALSE(replace_in_payload(buffer, 6, 1, 2, "wxyz"));  // 9 bytes
    CHECK_FALSE(replace_in_payload(buffer, 6, 4, 3, ""));
    CHECK_FALSE(replace_in_payload(buffer, 6, 4, 7, ""));
    CHECK_FALSE(replace_in_payload(buffer, 9, 0, 1, "x"));
    CHECK(std::string(buffer.data(), 6) == "abcdef");
    CHECK(replace_in_payload(buffer, 6, 1, 2, "xyz") == 8U);
    CHECK(std::string(buffer.data(), 8) == "axyzcdef");
    CHECK(replace_in_payload(buffer, 8, 0, 8, "") == 0U);
    CHECK(replace_in_payload(buffer, 0, 0, 0, "12345678") == 8U);
    CHECK(std::string(buffer.data(), 8) == "12345678");
}

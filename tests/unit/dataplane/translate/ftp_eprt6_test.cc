// EPRT |2| (RFC 2428): what is found in it, what is refused, and how another endpoint is written into it.
#include <array>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include "dataplane/track/alg/ftp_parse.hh"
#include "dataplane/translate/ftp_mangle.hh"

using namespace sluice;

namespace {

constexpr IpAddress kHost = ip6(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);

FtpCommand command_of(const std::string& line) {
    FtpScan scan(line, FtpSide::client);
    const auto command = scan.next();
    REQUIRE(command);
    CHECK_FALSE(scan.next());
    return *command;
}

std::string text_of(FtpKind kind, const IpAddress& address, unsigned port, char delimiter = 0) {
    std::array<char, kMaxHostPort> room{};
    return {room.data(), format_host_port(kind, address, be16(port), delimiter, room)};
}

std::string rewritten(const std::string& line, const IpAddress& address, unsigned port) {
    const FtpCommand command = command_of(line);
    REQUIRE(command.announces());
    std::array<char, 256> buffer{};
    line.copy(buffer.data(), line.size());
    const auto text = text_of(command.kind, address, port, command.delimiter);
    const auto length = replace_in_payload(buffer, line.size(), command.text_begin, command.text_end, text);
    REQUIRE(length);
    return {buffer.data(), *length};
}

}  // namespace

TEST_CASE("EPRT |2|: addresses in every form of RFC 4291") {
    struct Row {
        std::string written;
        IpAddress address;
    };
    const std::vector<Row> rows{
        {"2001:db8:1::7", kHost},
        {"2001:DB8:1::7", kHost},
        {"2001:0db8:0001:0000:0000:0000:0000:0007", kHost},
        {"2001:db8:1:0:0:0:0:7", kHost},
        {"2001:db8:1::0.0.0.7", kHost},
        {"fe80::1", ip6(0xfe80, 0, 0, 0, 0, 0, 0, 1)},
        {"1::", ip6(1, 0, 0, 0, 0, 0, 0, 0)},
        {"2001:db8:ffff:ffff:ffff:ffff:255.255.255.255",
         ip6(0x2001, 0xdb8, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff, 0xffff)},
    };
    for (const Row& row : rows) {
        for (const char delimiter : {'|', '!', '#', '~'}) {
            const std::string d(1, delimiter);
            const std::string text = row.written + d + "6275";
            const std::string line = "EPRT " + d + "2" + d + text + d + "\r\n";
            INFO(line);
            const FtpCommand command = command_of(line);
            CHECK(command.kind == FtpKind::eprt);
            CHECK(command.problem == FtpProblem::none);
            CHECK(command.has_address);
            CHECK(command.address == row.address);
            CHECK(command.port.host() == 6275);
            CHECK(command.delimiter == delimiter);
            CHECK(line.substr(command.text_begin, command.text_end - command.text_begin) == text);
        }
    }
}

TEST_CASE("EPRT |2|: what is no such command announces nothing") {
    const std::vector<std::pair<std::string, FtpProblem>> rows{
        {"EPRT |2|192.0.2.1|6275|\r\n", FtpProblem::syntax},
        {"EPRT |1|2001:db8:1::7|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|::ffff:192.0.2.1|6275|\r\n", FtpProblem::syntax},  // IPv4 in disguise
        {"EPRT |2|2001:db8:1::7%eth0|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|[2001:db8:1::7]|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1:::7|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1::77777|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2||6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1::7|\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1::7|6275\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1::7|6275|x\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1::7!6275|\r\n", FtpProblem::syntax},
        {"EPRT |2| 2001:db8:1::7|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|" + std::string(60, '0') + "|6275|\r\n", FtpProblem::syntax},
        {"EPRT |2|2001:db8:1::7|0|\r\n", FtpProblem::port_zero},
        {"EPRT |2|2001:db8:1::7|1023|\r\n", FtpProblem::port_privileged},
        {"EPRT |2|2001:db8:1::7|65536|\r\n", FtpProblem::port_range},
        {"EPRT |3|2001:db8:1::7|6275|\r\n", FtpProblem::unknown_protocol},
    };
    for (const auto& [line, problem] : rows) {
        INFO(line);
        const FtpCommand command = command_of(line);
        CHECK(command.kind == FtpKind::eprt);
        CHECK(command.problem == problem);
        CHECK_FALSE(command.announces());
    }
}

TEST_CASE("EPRT |2|: cut anywhere it is incomplete, or no command yet") {
    const std::string line = "EPRT |2|2001:db8:1::7|6275|\r\n";
    for (std::size_t length = 1; length < line.size(); ++length) {
        const std::string cut = line.substr(0, length);
        FtpScan scan(cut, FtpSide::client);
        const auto command = scan.next();
        INFO(cut);
        REQUIRE(command);
        CHECK(command->incomplete);
        CHECK_FALSE(command->announces());
    }
}

TEST_CASE("EPRT |2|: another endpoint is written in its shortest form (RFC 5952), the rest stays") {
    CHECK(text_of(FtpKind::eprt, kHost, 20000, '|') == "2001:db8:1::7|20000");
    CHECK(text_of(FtpKind::eprt, ip6(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1), 1024, '!') == "2001:db8::1:0:0:1!1024");
    const IpAddress longest = ip6(0xffff, 0xeeee, 0xdddd, 0xcccc, 0xbbbb, 0xaaaa, 0x9999, 0x8888);
    const std::string text = text_of(FtpKind::eprt, longest, 65535, '|');
    CHECK(text == "ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888|65535");
    CHECK(text.size() == kMaxHostPort);
    CHECK(text_of(FtpKind::epsv_reply, longest, 20000, '|') == "20000");
    // These have no form for it.
    CHECK(text_of(FtpKind::port, kHost, 20000).empty());
    CHECK(text_of(FtpKind::pasv_reply, kHost, 20000).empty());
    CHECK(rewritten("eprt  #2#2001:db8:1::7#40000#\n", longest, 1024) ==
          "eprt  #2#ffff:eeee:dddd:cccc:bbbb:aaaa:9999:8888#1024#\n");
    CHECK(rewritten("EPRT |2|2001:0db8:0001:0000:0000:0000:0000:0007|40000|\r\n", kHost, 40000) ==
          "EPRT |2|2001:db8:1::7|40000|\r\n");
}

// Tables of control-channel lines: what is found, where, and why not.
#include "dataplane/track/alg/ftp_parse.hh"

#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

std::vector<FtpCommand> scan_all(std::string_view payload, FtpSide side, std::uint16_t open = 0) {
    FtpScan scan(payload, side, open);
    std::vector<FtpCommand> found;
    while (auto command = scan.next()) found.push_back(*command);
    return found;
}

struct Good {
    const char* line;
    FtpSide side;
    FtpKind kind;
    const char* text;  ///< what is to be replaced
    bool has_address;
    unsigned port;
    char delimiter;
};

const std::vector<Good> kGood{
    {"PORT 192,0,2,1,4,1\r\n", FtpSide::client, FtpKind::port, "192,0,2,1,4,1", true, 1025, 0},
    {"port 192,0,2,1,255,255\n", FtpSide::client, FtpKind::port, "192,0,2,1,255,255", true, 65535, 0},
    {"PoRt   192,0,2,1,4,0  \r\n", FtpSide::client, FtpKind::port, "192,0,2,1,4,0", true, 1024, 0},
    {"PORT 192,000,002,001,04,01\r\n", FtpSide::client, FtpKind::port, "192,000,002,001,04,01", true, 1025, 0},
    {"EPRT |1|192.0.2.1|6275|\r\n", FtpSide::client, FtpKind::eprt, "192.0.2.1|6275", true, 6275, '|'},
    {"eprt !1!192.0.2.1!6275!\r\n", FtpSide::client, FtpKind::eprt, "192.0.2.1!6275", true, 6275, '!'},
    {"EPRT #1#192.0.2.1#6275#\n", FtpSide::client, FtpKind::eprt, "192.0.2.1#6275", true, 6275, '#'},
    {"EPRT ~1~192.0.2.1~6275~\n", FtpSide::client, FtpKind::eprt, "192.0.2.1~6275", true, 6275, '~'},
    {"227 Entering Passive Mode (192,0,2,1,19,137)\r\n", FtpSide::server, FtpKind::pasv_reply, "192,0,2,1,19,137", true,
     5001, 0},
    {"227 Entering Passive Mode (192,0,2,1,19,137).\r\n", FtpSide::server, FtpKind::pasv_reply, "192,0,2,1,19,137",
     true, 5001, 0},
    {"227 Entering Passive Mode 192,0,2,1,19,137\r\n", FtpSide::server, FtpKind::pasv_reply, "192,0,2,1,19,137", true,
     5001, 0},
    {"227 =192,0,2,1,19,137\n", FtpSide::server, FtpKind::pasv_reply, "192,0,2,1,19,137", true, 5001, 0},
    {"227 2nd server, mode 3 (192,0,2,1,19,137)\r\n", FtpSide::server, FtpKind::pasv_reply, "192,0,2,1,19,137", true,
     5001, 0},
    {"229 Entering Extended Passive Mode (|||6446|)\r\n", FtpSide::server, FtpKind::epsv_reply, "6446", false, 6446,
     '|'},
    {"229 Extended (Passive) (!!!6446!)\n", FtpSide::server, FtpKind::epsv_reply, "6446", false, 6446, '!'},
};

struct Bad {
    const char* line;
    FtpSide side;
    FtpKind kind;
    FtpProblem problem;
};

const std::vector<Bad> kBad{
    {"PORT\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT \r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT 192,0,2,1,4\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT 192,0,2,1,4,1,7\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT 192.0.2.1,4,1\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT 192,,2,1,4,1\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT 192,0,2,1,4,1\r\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT -192,0,2,1,4,1\r\n", FtpSide::client, FtpKind::port, FtpProblem::syntax},
    {"PORT 256,0,2,1,4,1\r\n", FtpSide::client, FtpKind::port, FtpProblem::octet_range},
    {"PORT 192,0,2,1,256,1\r\n", FtpSide::client, FtpKind::port, FtpProblem::octet_range},
    {"PORT 192,0,2,1,4,4294967297\r\n", FtpSide::client, FtpKind::port, FtpProblem::octet_range},
    {"PORT 99999999999999999999,0,2,1,4,1\r\n", FtpSide::client, FtpKind::port, FtpProblem::octet_range},
    {"PORT 192,0,2,1,0,0\r\n", FtpSide::client, FtpKind::port, FtpProblem::port_zero},
    {"PORT 192,0,2,1,3,255\r\n", FtpSide::client, FtpKind::port, FtpProblem::port_privileged},
    {"EPRT |1|192.0.2.1|0|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::port_zero},
    {"EPRT |1|192.0.2.1|1023|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::port_privileged},
    {"EPRT |1|192.0.2.1|65536|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::port_range},
    {"EPRT |1|192.0.2.256|6275|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::octet_range},
    {"EPRT |3|192.0.2.1|6275|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::unknown_protocol},
    {"EPRT |1|192.0.2.1|6275\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::syntax},
    {"EPRT |1|192.0.2.1!6275|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::syntax},
    {"EPRT 111192.0.2.1162751\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::syntax},
    {"EPRT |1|192.0.2|6275|\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::syntax},
    {"EPRT\r\n", FtpSide::client, FtpKind::eprt, FtpProblem::syntax},
    {"EPSV 3\r\n", FtpSide::client, FtpKind::epsv, FtpProblem::unknown_protocol},
    {"EPSV ALLES\r\n", FtpSide::client, FtpKind::epsv, FtpProblem::syntax},
    {"EPSV AL\r\n", FtpSide::client, FtpKind::epsv, FtpProblem::syntax},
    {"227 Entering Passive Mode\r\n", FtpSide::server, FtpKind::pasv_reply, FtpProblem::no_address},
    {"227\r\n", FtpSide::server, FtpKind::pasv_reply, FtpProblem::no_address},
    {"227 (192,0,2,1,19)\r\n", FtpSide::server, FtpKind::pasv_reply, FtpProblem::no_address},
    {"227 (192,0,2,999,19,137)\r\n", FtpSide::server, FtpKind::pasv_reply, FtpProblem::octet_range},
    {"227 (192,0,2,1,0,21)\r\n", FtpSide::server, FtpKind::pasv_reply, FtpProblem::port_privileged},
    {"229 Entering Extended Passive Mode |||6446|\r\n", FtpSide::server, FtpKind::epsv_reply, FtpProblem::no_address},
    {"229 (||6446|)\r\n", FtpSide::server, FtpKind::epsv_reply, FtpProblem::no_address},
    {"229 (|||6446!)\r\n", FtpSide::server, FtpKind::epsv_reply, FtpProblem::no_address},
    {"229 (|||0|)\r\n", FtpSide::server, FtpKind::epsv_reply, FtpProblem::port_zero},
    {"229 (|||22|)\r\n", FtpSide::server, FtpKind::epsv_reply, FtpProblem::port_privileged},
    {"229 (|||70000|)\r\n", FtpSide::server, FtpKind::epsv_reply, FtpProblem::port_range},
};

}  // namespace

TEST_CASE("FTP: what announces an endpoint is found, with exactly the text to be replaced") {
    for (const auto& c : kGood) {
        INFO(c.line);
        const std::string_view line(c.line);
        const auto found = scan_all(line, c.side);
        REQUIRE(found.size() == 1);
        CHECK(found[0].kind == c.kind);
        CHECK(found[0].problem == FtpProblem::none);
        CHECK(found[0].announces());
        CHECK_FALSE(found[0].incomplete);
        CHECK(found[0].has_address == c.has_address);
        if (c.has_address) CHECK(found[0].address == ip4(192, 0, 2, 1));
        CHECK(found[0].port.host() == c.port);
        CHECK(found[0].delimiter == c.delimiter);
        CHECK(line.substr(found[0].text_begin, found[0].text_end - found[0].text_begin) == c.text);
        CHECK(found[0].line_begin == 0);
        CHECK(found[0].line_end == line.size());
    }
}

TEST_CASE("FTP: what cannot be acted on says why and announces nothing") {
    for (const auto& c : kBad) {
        INFO(c.line);
        const auto found = scan_all(c.line, c.side);
        REQUIRE(found.size() == 1);
        CHECK(found[0].kind == c.kind);
        CHECK(name_of(found[0].problem) == name_of(c.problem));
        CHECK_FALSE(found[0].announces());
        CHECK_FALSE(found[0].incomplete);
    }
}

TEST_CASE("FTP: commands without an endpoint") {
    struct Case {
        const char* line;
        FtpSide side;
        FtpKind kind;
    };
    for (const auto& c :
         {Case{"EPSV\r\n", FtpSide::client, FtpKind::epsv},
          {"epsv\n", FtpSide::client, FtpKind::epsv},
          {"EPSV 1\r\n", FtpSide::client, FtpKind::epsv},
          {"EPSV 2\r\n", FtpSide::client, FtpKind::epsv},
          {"EPSV ALL\r\n", FtpSide::client, FtpKind::epsv_all},
          {"epsv  all \n", FtpSide::client, FtpKind::epsv_all},
          {"522 Network protocol not supported, use (1)\r\n", FtpSide::server, FtpKind::protocol_refused}}) {
        INFO(c.line);
        const auto found = scan_all(c.line, c.side);
        REQUIRE(found.size() == 1);
        CHECK(found[0].kind == c.kind);
        CHECK(found[0].problem == FtpProblem::none);
        CHECK_FALSE(found[0].announces());
    }
}

TEST_CASE("FTP: lines without interest are passed over") {
    for (const char* line : {"USER anonymous\r\n", " PORT 192,0,2,1,4,1\r\n", "STOR PORT 192,0,2,1,4,1\r\n",
                             "PORTS 192,0,2,1,4,1\r\n", "PORT\t192,0,2,1,4,1\r\n", "POR\r\n", "P\n", "E\n", "EPSVX\r\n",
                             "\r\n", "\n", "227 (192,0,2,1,19,137)\r\n", "PASV\r\n", "PWD", "EPRTX", "PORT1", "STAT"}) {
        INFO(line);
        CHECK(scan_all(line, FtpSide::client).empty());
    }
    for (const char* line : {"220 ready\r\n", " 227 (192,0,2,1,19,137)\r\n", "2270 (192,0,2,1,19,137)\r\n", "22\r\n",
                             "PORT 192,0,2,1,4,1\r\n", "x227 (192,0,2,1,19,137)\r\n", "5", "52", "522", "522 Net",
                             "228", "2277", "22x", "3"}) {
        INFO(line);
        CHECK(scan_all(line, FtpSide::server).empty());
    }
    CHECK(scan_all("", FtpSide::client).empty());
    CHECK(scan_all("", FtpSide::server).empty());
}

TEST_CASE("FTP: several commands in one payload are found in turn") {
    const std::string payload =
        "NOOP\r\nPORT 192,0,2,1,4,1\r\nLIST\nEPRT |1|192.0.2.1|2000|\r\nPORT 1,2\r\nEPSV ALL\r\nPORT 192,0,2,";
    const auto found = scan_all(payload, FtpSide::client);
    REQUIRE(found.size() == 5);
    CHECK(found[0].kind == FtpKind::port);
    CHECK(payload.substr(found[0].text_begin, found[0].text_end - found[0].text_begin) == "192,0,2,1,4,1");
    CHECK(found[1].kind == FtpKind::eprt);
    CHECK(payload.substr(found[1].text_begin, found[1].text_end - found[1].text_begin) == "192.0.2.1|2000");
    CHECK(found[2].problem == FtpProblem::syntax);
    CHECK(found[3].kind == FtpKind::epsv_all);
    CHECK(found[4].incomplete);
    CHECK(payload.substr(found[4].line_begin, found[4].line_end - found[4].line_begin) == "PORT 192,0,2,");
}

TEST_CASE("FTP: every command cut at every place is incomplete in its first part and whole when joined") {
    for (const auto& c : kGood) {
        const std::string line(c.line);
        for (std::size_t cut = 1; cut < line.size(); ++cut) {
            INFO(line << " cut at " << cut);
            const auto first = scan_all("NOOP\r\n" + line.substr(0, cut), FtpSide::client);
            const auto found =
                c.side == FtpSide::client ? first : scan_all("200 OK\r\n" + line.substr(0, cut), FtpSide::server);
            REQUIRE(found.size() == 1);
            CHECK(found[0].incomplete);
            CHECK_FALSE(found[0].announces());
            CHECK(found[0].line_begin == (c.side == FtpSide::client ? 6 : 8));
            const std::size_t verb = c.side == FtpSide::client ? 4 : 3;
            CHECK(found[0].kind == (cut < verb ? FtpKind::unknown : c.kind));
            const auto whole = scan_all(line.substr(0, cut) + line.substr(cut), c.side);
            REQUIRE(whole.size() == 1);
            CHECK(whole[0].announces());
        }
    }
    for (const std::string line : {"EPSV\r\n", "EPSV ALL\r\n", "EPSV 1\r\n"})
        for (std::size_t cut = 1; cut < line.size(); ++cut) {
            const auto found = scan_all(line.substr(0, cut), FtpSide::client);
            REQUIRE(found.size() == 1);
            CHECK(found[0].incomplete);
        }
}

TEST_CASE("FTP: text lines of a multi-line reply open nothing") {
    const std::string hidden = "211-Listing\r\n227 Entering (192,0,2,1,19,137)\r\n229 (|||6446|)\r\n211 end\r\n";
    CHECK(scan_all(hidden, FtpSide::server).empty());
    const auto after = scan_all(hidden + "227 Entering (192,0,2,1,19,138)\r\n", FtpSide::server);
    REQUIRE(after.size() == 1);
    CHECK(after[0].port == be16(5002));
    // The closing line of a multi-line 227 counts, its text lines do not.
    const auto closing = scan_all("227-Mode (192,0,2,1,19,137)\r\n227-more\r\n text\r\n227 Mode (192,0,2,1,19,139)\r\n",
                                  FtpSide::server);
    REQUIRE(closing.size() == 1);
    CHECK(closing[0].port == be16(5003));
}

TEST_CASE("FTP: a multi-line reply goes on in the next payload") {
    FtpScan first("230-Welcome\r\n", FtpSide::server);
    CHECK_FALSE(first.next());
    CHECK(first.open_reply() == 230);
    FtpScan second("227 (192,0,2,1,19,137)\r\n22", FtpSide::server, first.open_reply());
    CHECK_FALSE(second.next());
    CHECK(second.open_reply() == 230);
    FtpScan third("230 done\r\n227 (192,0,2,1,19,137)\r\n", FtpSide::server, second.open_reply());
    const auto command = third.next();
    REQUIRE(command);
    CHECK(command->kind == FtpKind::pasv_reply);
    CHECK(third.open_reply() == 0);
    // Opened and closed by lines that are themselves cut: their first parts tell enough.
    FtpScan cut_open("220-Wel", FtpSide::server);
    CHECK_FALSE(cut_open.next());
    CHECK(cut_open.open_reply() == 220);
    FtpScan cut_close("220 do", FtpSide::server, 220);
    CHECK_FALSE(cut_close.next());
    CHECK(cut_close.open_reply() == 0);
    FtpScan held("227 (192,", FtpSide::server, 227);
    const auto part = held.next();
    REQUIRE(part);
    CHECK(part->incomplete);
}

#include "dataplane/flow/tcp_table.hh"

#include <array>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace sluice;

namespace {

constexpr std::array<TcpState, kTcpStateCount> kStates{
    TcpState::none,       TcpState::syn_sent, TcpState::syn_recv,  TcpState::established, TcpState::fin_wait,
    TcpState::close_wait, TcpState::last_ack, TcpState::time_wait, TcpState::close,       TcpState::syn_sent2};

/// The cell in the two letters of the state diagrams.
std::string letters(TcpTransition cell) {
    constexpr std::array<const char*, kTcpStateCount> kShort{"NO", "SS", "SR", "ES", "FW",
                                                             "CW", "LA", "TW", "CL", "S2"};
    if (cell.is_invalid()) return "IV";
    if (cell.is_ignore()) return "IG";
    return kShort.at(static_cast<std::size_t>(cell.next()));
}

/// One row to a state, one column to direction and flags; written by state where the table is written by flags.
struct Row {
    TcpState now;
    std::array<const char*, 10> next;
};
constexpr std::array<Row, kTcpStateCount> kExpected{{
    //                        o:SYN o:S/A o:FIN o:ACK o:RST r:SYN r:S/A r:FIN r:ACK r:RST
    {TcpState::none, {"SS", "IV", "IV", "ES", "IV", "IV", "IV", "IV", "IV", "IV"}},
    {TcpState::syn_sent, {"SS", "IV", "IV", "IV", "CL", "S2", "SR", "IV", "IG", "CL"}},
    {TcpState::syn_recv, {"IG", "SR", "FW", "ES", "CL", "IV", "IG", "FW", "SR", "CL"}},
    {TcpState::established, {"IG", "IV", "FW", "ES", "CL", "IV", "IG", "FW", "ES", "CL"}},
    {TcpState::fin_wait, {"IG", "IV", "LA", "CW", "CL", "IV", "IG", "LA", "CW", "CL"}},
    {TcpState::close_wait, {"IG", "IV", "LA", "CW", "CL", "IV", "IG", "LA", "CW", "CL"}},
    {TcpState::last_ack, {"IG", "IV", "LA", "TW", "CL", "IV", "IG", "LA", "TW", "CL"}},
    {TcpState::time_wait, {"SS", "IV", "TW", "TW", "CL", "SS", "IG", "TW", "TW", "CL"}},
    {TcpState::close, {"SS", "IV", "CL", "CL", "CL", "IV", "IG", "CL", "CL", "CL"}},
    {TcpState::syn_sent2, {"S2", "SR", "IV", "IV", "CL", "S2", "SR", "IV", "IG", "CL"}},
}};

struct Step {
    Direction from;
    std::uint8_t flags;
};
constexpr Direction kOrig = Direction::original;
constexpr Direction kReply = Direction::reply;
using namespace tcp_flag;

/// Walks the table from NONE; stops at the first cell that does not move.
std::string walk(const std::vector<Step>& steps) {
    TcpState state = TcpState::none;
    for (const Step& step : steps) {
        const TcpTransition cell = tcp_transition(step.from, tcp_flag_class(step.flags), state);
        if (!cell.moves()) return letters(cell);
        state = cell.next();
    }
    return std::string(name_of(state));
}

}  // namespace

TEST_CASE("every cell is the one of Linux") {
    constexpr std::array kColumns{TcpFlagClass::syn, TcpFlagClass::syn_ack, TcpFlagClass::fin, TcpFlagClass::ack,
                                  TcpFlagClass::rst};
    for (const Row& row : kExpected) {
        for (std::size_t column = 0; column < row.next.size(); ++column) {
            const Direction direction = column < kColumns.size() ? kOrig : kReply;
            const TcpFlagClass flags = kColumns.at(column % kColumns.size());
            INFO(name_of(row.now) << ", column " << column);
            CHECK(letters(tcp_transition(direction, flags, row.now)) == row.next.at(column));
        }
    }
}

TEST_CASE("a segment without flags is invalid in every state and direction") {
    for (const TcpState state : kStates)
        for (const Direction direction : {kOrig, kReply})
            CHECK(tcp_transition(direction, TcpFlagClass::none, state).is_invalid());
}

TEST_CASE("the zero value of a cell is invalid, never a state") {
    CHECK(TcpTransition{}.is_invalid());
    CHECK_FALSE(TcpTransition{}.moves());
    for (const TcpState state : kStates) {
        CHECK(TcpTransition(state).moves());
        CHECK(TcpTransition(state).next() == state);
        CHECK_FALSE(TcpTransition(state) == TcpTransition::ignore());
    }
}

TEST_CASE("connections walk the table as in life") {
    struct Life {
        const char* what;
        std::vector<Step> steps;
        const char* end;
    };
    const std::vector<Step> open{{kOrig, kSyn}, {kReply, kSyn | kAck}, {kOrig, kAck}};
    auto closed = open;
    closed.insert(closed.end(), {{kOrig, kFin | kAck}, {kReply, kAck}, {kReply, kFin | kAck}, {kOrig, kAck}});
    auto reopened = closed;
    reopened.push_back({kOrig, kSyn});
    auto reset = open;
    reset.push_back({kReply, kRst | kAck});
    const std::vector<Life> lives{
        {"three-way handshake", open, "ESTABLISHED"},
        {"orderly close", closed, "TIME_WAIT"},
        {"reopened from TIME_WAIT", reopened, "SYN_SENT"},
        {"reset by the peer", reset, "CLOSE"},
        {"connection refused", {{kOrig, kSyn}, {kReply, kRst | kAck}}, "CLOSE"},
        {"simultaneous open", {{kOrig, kSyn}, {kReply, kSyn}, {kReply, kSyn | kAck}}, "SYN_RECV"},
        {"picked up in the middle", {{kOrig, kAck | kPsh}, {kReply, kAck}}, "ESTABLISHED"},
        {"begins with SYN/ACK", {{kOrig, kSyn | kAck}}, "IV"},
        {"begins with RST", {{kOrig, kRst}}, "IV"},
        {"begins with FIN", {{kOrig, kFin | kAck}}, "IV"},
    };
    for (const Life& life : lives) {
        INFO(life.what);
        CHECK(walk(life.steps) == life.end);
    }
}

TEST_CASE("RST wins over SYN, SYN over FIN, FIN over ACK") {
    CHECK(tcp_flag_class(kRst | kSyn | kFin | kAck) == TcpFlagClass::rst);
    CHECK(tcp_flag_class(kSyn | kFin | kAck) == TcpFlagClass::syn_ack);
    CHECK(tcp_flag_class(kSyn | kFin) == TcpFlagClass::syn);
    CHECK(tcp_flag_class(kFin | kAck) == TcpFlagClass::fin);
    CHECK(tcp_flag_class(kFin) == TcpFlagClass::fin);
    CHECK(tcp_flag_class(kAck | kPsh) == TcpFlagClass::ack);
    CHECK(tcp_flag_class(kPsh | kUrg) == TcpFlagClass::none);
    CHECK(tcp_flag_class(0) == TcpFlagClass::none);
}

TEST_CASE("nine flag sets are legal, whatever PSH, ECE and CWR say") {
    unsigned legal = 0;
    for (unsigned flags = 0; flags < 256; ++flags) {
        const auto byte = static_cast<std::uint8_t>(flags);
        if (tcp_flags_legal(byte)) ++legal;
        CHECK(tcp_flags_legal(byte) == tcp_flags_legal(byte & static_cast<std::uint8_t>(~(kPsh | kEce | kCwr))));
    }
    CHECK(legal == 9 * 8);
    constexpr std::array<unsigned, 8> kScans{
        0, kFin, kFin | kUrg | kPsh, kSyn | kFin, kSyn | kRst, kSyn | kAck | kUrg, kRst | kUrg, 255};
    for (const unsigned flags : kScans) CHECK_FALSE(tcp_flags_legal(static_cast<std::uint8_t>(flags)));
    constexpr std::array<unsigned, 7> kSent{
        kSyn, kSyn | kEce | kCwr, kSyn | kAck, kFin | kAck, kFin | kPsh | kAck, kRst | kAck, kAck};
    for (const unsigned flags : kSent) CHECK(tcp_flags_legal(static_cast<std::uint8_t>(flags)));
}

TEST_CASE("states print as Linux prints them") {
    CHECK(name_of(TcpState::none) == "NONE");
    CHECK(name_of(TcpState::syn_sent) == "SYN_SENT");
    CHECK(name_of(TcpState::syn_recv) == "SYN_RECV");
    CHECK(name_of(TcpState::established) == "ESTABLISHED");
    CHECK(name_of(TcpState::fin_wait) == "FIN_WAIT");
    CHECK(name_of(TcpState::close_wait) == "CLOSE_WAIT");
    CHECK(name_of(TcpState::last_ack) == "LAST_ACK");
    CHECK(name_of(TcpState::time_wait) == "TIME_WAIT");
    CHECK(name_of(TcpState::close) == "CLOSE");
    CHECK(name_of(TcpState::syn_sent2) == "SYN_SENT2");
}

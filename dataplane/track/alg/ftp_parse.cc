// See ftp_parse.hh. A `Cursor` walks one line; every function either consumes what it was asked for or says no.
#include "dataplane/track/alg/ftp_parse.hh"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <span>

namespace sluice {
namespace {

constexpr unsigned kFirstUserPort = 1024;
constexpr unsigned kTooBig = 1'000'000;  // larger than anything that is legal; further digits change nothing

constexpr bool is_digit(char c) noexcept {
    return c >= '0' && c <= '9';
}
constexpr char upper(char c) noexcept {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Compares as far as `text` goes: a text shorter than `verb` matches when it may still become it.
constexpr bool may_be(std::string_view text, std::string_view verb) noexcept {
    const auto length = std::min(text.size(), verb.size());
    return std::equal(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(length), verb.begin(),
                      [](char a, char b) { return upper(a) == b; });
}

class Cursor {
public:
    explicit constexpr Cursor(std::string_view line, std::size_t at = 0) noexcept : line_(line), at_(at) {}

    [[nodiscard]] constexpr std::size_t at() const noexcept { return at_; }
    [[nodiscard]] constexpr bool end() const noexcept { return at_ >= line_.size(); }
    [[nodiscard]] constexpr char peek() const noexcept { return end() ? '\0' : line_[at_]; }

    constexpr void skip_spaces() noexcept {
        while (!end() && line_[at_] == ' ') ++at_;
    }
    constexpr bool take(char wanted) noexcept {
        if (end() || line_[at_] != wanted) return false;
        ++at_;
        return true;
    }
    /// A delimiter of RFC 2428: any printable character, but a digit could not be told from the fields.
    constexpr char take_delimiter() noexcept {
        const char c = peek();
        if (c < 33 || c > 126 || is_digit(c)) return '\0';
        ++at_;
        return c;
    }
    constexpr bool take_number(unsigned& value) noexcept {
        if (end() || !is_digit(line_[at_])) return false;
        value = 0;
        for (; !end() && is_digit(line_[at_]); ++at_)
            value = std::min(kTooBig, value * 10 + static_cast<unsigned>(line_[at_] - '0'));
        return true;
    }
    /// What stands before `delimiter`; nothing without one.
    constexpr std::string_view take_until(char delimiter) noexcept {
        const auto begin = at_, end = line_.find(delimiter, at_);
        if (end == std::string_view::npos) return {};
        at_ = end;
        return line_.substr(begin, end - begin);
    }
    /// As many numbers as `values` has room for, with `separator` between them.
    constexpr bool take_numbers(std::span<unsigned> values, char separator) noexcept {
        for (std::size_t i = 0; i < values.size(); ++i)
            if ((i != 0 && !take(separator)) || !take_number(values[i])) return false;
        return true;
    }

private:
    std::string_view line_;
    std::size_t at_;
};

constexpr FtpProblem check_port(unsigned port) noexcept {
    if (port > 65535) return FtpProblem::port_range;
    if (port == 0) return FtpProblem::port_zero;
    return port < kFirstUserPort ? FtpProblem::port_privileged : FtpProblem::none;
}

/// Fills address, port and range, or the problem. `text_begin`/`text_end` count from the start of the line here.
void set_endpoint(FtpCommand& command, const IpAddress& address, unsigned port, std::size_t begin,
                  std::size_t end) noexcept {
    command.problem = check_port(port);
    if (command.problem != FtpProblem::none) return;
    command.has_address = true;
    command.address = address;
    command.port = be16(port);
    command.text_begin = begin;
    command.text_end = end;
}

/// Nothing if one of them is no octet.
std::optional<Ip4> from_octets(std::span<const unsigned, 4> o) noexcept {
    if (std::any_of(o.begin(), o.end(), [](unsigned octet) { return octet > 255; })) return std::nullopt;
    return ip4(o[0], o[1], o[2], o[3]);
}

void set_comma_form(FtpCommand& command, const std::array<unsigned, 6>& n, std::size_t begin,
                    std::size_t end) noexcept {
    const auto address = from_octets(std::span(n).first<4>());
    if (!address || n[4] > 255 || n[5] > 255) {
        command.problem = FtpProblem::octet_range;
        return;
    }
    set_endpoint(command, *address, n[4] * 256 + n[5], begin, end);
}

void parse_port(FtpCommand& command, Cursor cursor) noexcept {
    cursor.skip_spaces();
    std::array<unsigned, 6> numbers{};
    const auto begin = cursor.at();
    command.problem = FtpProblem::syntax;
    if (!cursor.take_numbers(numbers, ',')) return;
    const auto end = cursor.at();
    cursor.skip_spaces();
    if (cursor.end()) set_comma_form(command, numbers, begin, end);
}

std::optional<IpAddress> take_ip4(Cursor& cursor, FtpCommand& command) noexcept {
    std::array<unsigned, 4> octets{};
    if (!cursor.take_numbers(octets, '.')) return std::nullopt;
    const auto address = from_octets(octets);
    if (!address) command.problem = FtpProblem::octet_range;
    return address;
}

/// RFC 4291 2.2, in the words of the C library; an IPv4 address in that form is none.
std::optional<IpAddress> take_ip6(Cursor& cursor, char delimiter) noexcept {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const std::string_view said = cursor.take_until(delimiter);
    if (said.empty() || said.size() >= text.size()) return std::nullopt;
    std::ranges::copy(said, text.begin());
    in6_addr bytes{};
    if (inet_pton(AF_INET6, text.data(), &bytes) != 1) return std::nullopt;
    const IpAddress address = IpAddress::from_bytes(&bytes);
    if (address.is_v4()) return std::nullopt;
    return address;
}

void parse_eprt(FtpCommand& command, Cursor cursor) noexcept {
    cursor.skip_spaces();
    command.problem = FtpProblem::syntax;
    const char delimiter = cursor.take_delimiter();
    unsigned protocol = 0;
    if (delimiter == '\0' || !cursor.take_number(protocol) || !cursor.take(delimiter)) return;
    command.delimiter = delimiter;
    if (protocol != 1 && protocol != 2) {
        command.problem = FtpProblem::unknown_protocol;
        return;
    }
    unsigned port = 0;
    const auto begin = cursor.at();
    const auto address = protocol == 1 ? take_ip4(cursor, command) : take_ip6(cursor, delimiter);
    if (!address || !cursor.take(delimiter) || !cursor.take_number(port)) return;
    const auto end = cursor.at();
    if (!cursor.take(delimiter)) return;
    cursor.skip_spaces();
    if (cursor.end()) set_endpoint(command, *address, port, begin, end);
}

void parse_epsv(FtpCommand& command, std::string_view line) noexcept {
    Cursor cursor(line, 4);
    cursor.skip_spaces();
    if (cursor.end()) return;
    command.problem = FtpProblem::syntax;
    if (may_be(line.substr(cursor.at()), "ALL") && line.size() >= cursor.at() + 3) {
        Cursor rest(line, cursor.at() + 3);
        rest.skip_spaces();
        if (!rest.end()) return;
        command.kind = FtpKind::epsv_all;
        command.problem = FtpProblem::none;
        return;
    }
    unsigned protocol = 0;
    if (!cursor.take_number(protocol)) return;
    cursor.skip_spaces();
    if (!cursor.end()) return;
    command.problem = protocol == 1 || protocol == 2 ? FtpProblem::none : FtpProblem::unknown_protocol;
}

void parse_227(FtpCommand& command, std::string_view line) noexcept {
    command.problem = FtpProblem::no_address;
    for (std::size_t i = 4; i < line.size();) {
        if (!is_digit(line[i])) {
            ++i;
            continue;
        }
        Cursor cursor(line, i);
        std::array<unsigned, 6> numbers{};
        if (cursor.take_numbers(numbers, ',')) {
            set_comma_form(command, numbers, i, cursor.at());
            return;
        }
        while (i < line.size() && is_digit(line[i])) ++i;
    }
}

void parse_229(FtpCommand& command, std::string_view line) noexcept {
    command.problem = FtpProblem::no_address;
    for (auto open = line.find('(', 4); open != std::string_view::npos; open = line.find('(', open + 1)) {
        Cursor cursor(line, open + 1);
        const char delimiter = cursor.take_delimiter();
        if (delimiter == '\0' || !cursor.take(delimiter) || !cursor.take(delimiter)) continue;
        unsigned port = 0;
        const auto begin = cursor.at();
        if (!cursor.take_number(port)) continue;
        const auto end = cursor.at();
        if (!cursor.take(delimiter) || !cursor.take(')')) continue;
        command.delimiter = delimiter;
        command.problem = check_port(port);
        if (command.problem != FtpProblem::none) return;
        command.port = be16(port);
        command.text_begin = begin;
        command.text_end = end;
        return;
    }
}

FtpCommand incomplete(FtpKind kind) noexcept {
    FtpCommand command;
    command.kind = kind;
    command.incomplete = true;
    return command;
}

/// 0 unless the line starts with a reply code (RFC 959 section 4.2).
constexpr std::uint16_t reply_code(std::string_view line) noexcept {
    if (line.size() < 3 || line[0] < '1' || line[0] > '6' || !is_digit(line[1]) || !is_digit(line[2])) return 0;
    return static_cast<std::uint16_t>((line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0'));
}

struct Verb {
    std::string_view name;
    FtpKind kind;
};
constexpr std::array kClientVerbs{Verb{"PORT", FtpKind::port}, Verb{"EPRT", FtpKind::eprt},
                                  Verb{"EPSV", FtpKind::epsv}};
// 522 is missing here: nothing in it is ever rewritten, so there is no reason to hold a part of it back.
constexpr std::array kHeldReplies{Verb{"227", FtpKind::pasv_reply}, Verb{"229", FtpKind::epsv_reply}};

}  // namespace

std::string_view name_of(FtpProblem problem) noexcept {
    static constexpr std::array<std::string_view, 8> kNames{
        "none",       "syntax",    "no_address",      "octet_range",
        "port_range", "port_zero", "port_privileged", "unknown_protocol"};
    return kNames[static_cast<std::size_t>(problem)];
}

std::optional<FtpCommand> FtpScan::scan_client(std::string_view line, bool complete) noexcept {
    for (const auto& verb : kClientVerbs) {
        if (line.empty() || !may_be(line, verb.name)) continue;
        if (line.size() < verb.name.size()) {
            if (complete) return std::nullopt;
            return incomplete(FtpKind::unknown);
        }
        if (line.size() > verb.name.size() && line[verb.name.size()] != ' ' &&
            (complete || line[verb.name.size()] != '\r'))
            return std::nullopt;
        if (!complete) return incomplete(verb.kind);
        FtpCommand command;
        command.kind = verb.kind;
        const Cursor argument(line, verb.name.size());
        if (verb.kind == FtpKind::port) parse_port(command, argument);
        if (verb.kind == FtpKind::eprt) parse_eprt(command, argument);
        if (verb.kind == FtpKind::epsv) parse_epsv(command, line);
        return command;
    }
    return std::nullopt;
}

std::optional<FtpCommand> FtpScan::scan_server(std::string_view line, bool complete) noexcept {
    const auto code = reply_code(line);
    const bool opens = line.size() > 3 && line[3] == '-';
    const bool closes = line.size() == 3 || (line.size() > 3 && line[3] == ' ');
    if (!complete) {
        for (const auto& reply : kHeldReplies) {
            if (open_reply_ != 0 && open_reply_ != reply_code(reply.name)) continue;  // it can only be a text line
            if (line.empty() || !may_be(line, reply.name) || (line.size() > 3 && !closes)) continue;
            return incomplete(line.size() < 3 ? FtpKind::unknown : reply.kind);
        }
        if (code == 0) return std::nullopt;
        if (open_reply_ == 0 && opens) open_reply_ = code;
        if (open_reply_ == code && line.size() > 3 && closes) open_reply_ = 0;
        return std::nullopt;
    }
    if (code == 0 || (open_reply_ != 0 && (code != open_reply_ || !closes))) return std::nullopt;
    open_reply_ = opens ? code : std::uint16_t{0};
    if (!closes) return std::nullopt;
    FtpCommand command;
    switch (code) {
        case 227:
            command.kind = FtpKind::pasv_reply;
            parse_227(command, line);
            return command;
        case 229:
            command.kind = FtpKind::epsv_reply;
            parse_229(command, line);
            return command;
        case 522:
            command.kind = FtpKind::protocol_refused;
            return command;
        default:
            return std::nullopt;
    }
}

std::optional<FtpCommand> FtpScan::next() noexcept {
    while (offset_ < payload_.size()) {
        const auto begin = offset_;
        const auto newline = payload_.find('\n', begin);
        const bool complete = newline != std::string_view::npos;
        offset_ = complete ? newline + 1 : payload_.size();
        auto line = payload_.substr(begin, (complete ? newline : offset_) - begin);
        if (complete && !line.empty() && line.back() == '\r') line.remove_suffix(1);
        auto command = side_ == FtpSide::client ? scan_client(line, complete) : scan_server(line, complete);
        if (!command) continue;
        command->line_begin = begin;
        command->line_end = offset_;
        command->text_begin += begin;
        command->text_end += begin;
        return command;
    }
    return std::nullopt;
}

}  // namespace sluice

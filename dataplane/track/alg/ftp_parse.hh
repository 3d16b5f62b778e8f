// Finds the FTP commands and replies that announce a data connection in one piece of control-channel payload
// (RFC 959 section 4.1.2 and 4.2, RFC 1123 section 4.1.2.6, RFC 2428).
//
// Pure: reads a view, returns values, keeps nothing between payloads, never allocates, never fails on any bytes. It is
// run by the worker that owns the flow, and by a fuzzer.
//
// What is accepted, and why:
// - A command is sought only at the start of a line, without leading spaces, as Linux does: text elsewhere in a line is
//   user data (a file name may say "PORT 1,2,3,4,5,6"). The caller must know that the payload starts at a line start.
// - Lines end in LF; a CR before it is optional. Verbs are case-insensitive. Several spaces may follow a verb.
// - A reply 227 is searched for the first six numbers, with or without parentheses (RFC 1123, as Linux does).
// - The text lines of a multi-line reply are never looked at: a server that quotes an attacker's text ("211-" listings,
//   banners) must not open a port. The one closing line "227 …" is.
// - A last line without LF that may still become such a command is reported as incomplete: the caller holds it back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"

namespace sluice {

/// Who sent the payload on the control connection.
enum class FtpSide : std::uint8_t { client, server };

enum class FtpKind : std::uint8_t {
    unknown,           ///< only with `incomplete`: too short to tell
    port,              ///< client: PORT h1,h2,h3,h4,p1,p2
    eprt,              ///< client: EPRT |1|address|port|
    epsv,              ///< client: EPSV, EPSV 1, EPSV 2
    epsv_all,          ///< client: EPSV ALL; afterwards only EPSV may be used (RFC 2428 section 4)
    pasv_reply,        ///< server: 227 … h1,h2,h3,h4,p1,p2
    epsv_reply,        ///< server: 229 … (|||port|)
    protocol_refused,  ///< server: 522, the network protocol of EPRT or EPSV is not supported
};

/// Why a recognised command must not be acted on.
enum class FtpProblem : std::uint8_t {
    none,
    syntax,            ///< the argument has not the form that the command demands
    no_address,        ///< a reply 227 or 229 without an endpoint in it
    octet_range,       ///< a number of an address, or a byte of a port, above 255
    port_range,        ///< a port above 65535
    port_zero,         ///< port 0
    port_privileged,   ///< a port below 1024: the classic bounce at a well-known service
    unknown_protocol,  ///< EPRT or EPSV with a network protocol other than 1 and 2
};

std::string_view name_of(FtpProblem problem) noexcept;

/// One recognised line. All offsets are into the payload that was scanned; ranges are half open.
struct FtpCommand {
    FtpKind kind = FtpKind::unknown;
    FtpProblem problem = FtpProblem::none;
    bool incomplete = false;   ///< no LF yet: hold [line_begin, line_end) until the rest comes; nothing below is set
    bool has_address = false;  ///< PORT, EPRT and 227; a reply 229 means the address of the server's control connection
    char delimiter = 0;        ///< of EPRT and 229
    IpAddress address{};
    Be16 port{};
    std::size_t line_begin = 0;
    std::size_t line_end = 0;    ///< behind the LF, or the end of the payload
    std::size_t text_begin = 0;  ///< exactly what a rewrite replaces: the six numbers; `address|port` of EPRT;
    std::size_t text_end = 0;    ///< the port of 229. Empty for the other kinds and whenever there is a problem

    /// True when the line announces an endpoint that may be used.
    [[nodiscard]] constexpr bool announces() const noexcept { return text_end > text_begin; }
};

/// Walks the lines of a payload that starts at a line start.
///
///     FtpScan scan(payload, FtpSide::client);
///     while (auto command = scan.next()) …
class FtpScan {
public:
    /// `open_reply`: what `open_reply()` said after the server's preceding payload; 0 on the client's side, and after a
    /// payload that could not be scanned because it did not start at a line start (the closing line may have been
    /// there).
    FtpScan(std::string_view payload, FtpSide side, std::uint16_t open_reply = 0) noexcept
        : payload_(payload), side_(side), open_reply_(open_reply) {}

    /// The next line that matters here, lines without interest are passed over; nothing at the end of the payload.
    std::optional<FtpCommand> next() noexcept;

    /// Code of a multi-line reply whose closing line has not come yet, 0 if none; to be kept with the flow between
    /// the server's payloads. Valid after `next()` has returned nothing.
    [[nodiscard]] std::uint16_t open_reply() const noexcept { return open_reply_; }

private:
    std::optional<FtpCommand> scan_client(std::string_view line, bool complete) noexcept;
    std::optional<FtpCommand> scan_server(std::string_view line, bool complete) noexcept;

    std::string_view payload_;
    std::size_t offset_ = 0;
    FtpSide side_;
    std::uint16_t open_reply_;
};

}  // namespace sluice

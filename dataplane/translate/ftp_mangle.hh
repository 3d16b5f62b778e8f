// Writes the endpoint that the other side may use into an FTP command or reply (RFC 959 section 4.1.2, RFC 2428).
//
// The range to be replaced comes from FtpScan (track/alg/ftp_parse.hh); the text keeps the form and the delimiter of
// the original, so that whatever the peer understood before it understands after. Several commands in one payload are
// replaced from the last to the first: earlier ranges stay valid (SeqAdjust::record wants them from first to last).
//
// Pure functions on bytes; run by the worker that owns the flow. Failure leaves the buffer as it was.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

#include "dataplane/base/ip_address.hh"
#include "dataplane/base/types.hh"
#include "dataplane/track/alg/ftp_parse.hh"

namespace sluice {

/// Longest replacement: an IPv6 address of eight whole groups, a delimiter, five digits.
inline constexpr std::size_t kMaxHostPort = 8 * 4 + 7 + 1 + 5;

/// The text for `FtpCommand::text_begin … text_end`: PORT and 227 the six numbers, EPRT `address<delimiter>port`, 229
/// the port alone. Returns its length, or 0 when the kind has no such text (PORT and 227 have none for IPv6).
std::size_t format_host_port(FtpKind kind, const IpAddress& address, Be16 port, char delimiter,
                             std::span<char, kMaxHostPort> out) noexcept;

/// Replaces payload[begin, end) and moves what follows. `payload` is the whole room there is, `length` what is used.
/// Returns the new length; nothing (DropReason::alg_no_room) when it does not fit or the range is not in the payload.
/// `replacement` must not lie in `payload`.
std::optional<std::size_t> replace_in_payload(std::span<char> payload, std::size_t length, std::size_t begin,
                                              std::size_t end, std::string_view replacement) noexcept;

}  // namespace sluice

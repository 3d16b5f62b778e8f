// Host names in a pcap-filter expression. libpcap looks them up while it compiles, with whatever the box uses for
// names, and that may take as long as a name server likes; there is no way to tell it not to. So an expression that
// would make it ask is refused before.
//
// The words are told apart as libpcap's own scanner does it. A word that is neither a keyword, a number nor an address
// is a name; names of services and protocols (`port http`, `ip proto \tcp`) come from files and are fine, and "or" and
// "and" carry the meaning of the last word on: `port http or https`. When in doubt a word counts as a host name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace sluice::api {

/// The first host or network name in the expression.
[[nodiscard]] std::optional<std::string> first_host_name(std::string_view expression);

/// `inbound` or `outbound`, if the expression has one of them: libpcap takes them for Ethernet, where they then are
/// true of no packet or of all, since pcap files of Ethernet do not tell directions.
[[nodiscard]] std::optional<std::string> first_direction(std::string_view expression);

}  // namespace sluice::api

// What `conntrack -U` changes of flows, from and to the body of PATCH /v1/flows (shared by daemon and sluicectl):
//   {"mark": "0x10/0xf0", "timeout_s": 50, "status": "ASSURED,SEEN_REPLY"}
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "dataplane/flow/listing.hh"

namespace sluice::api {

/// The most that a flow's lifetime has room for: 194 days.
inline constexpr std::uint32_t kLongestTimeout = (1U << 24) - 1;

/// A list of status bits that may be set by hand, case not counting; UNSET and UNREPLIED are none. Or the word of Linux
/// for what is wrong with it.
std::variant<std::uint8_t, std::string> parse_status_change(std::string_view list);

/// The change, or one sentence that says what is wrong with it.
std::variant<FlowUpdate, std::string> parse_flow_update(std::string_view body);

/// The body for it.
std::string flow_update_text(const FlowUpdate& update);

}  // namespace sluice::api

// The listing format of conntrack(8), byte for byte: scripts that parse `conntrack -L` parse ours. The field order is
// libnetfilter_conntrack's (nfct_snprintf, default output); tests hold lines captured from the real program.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "control/api/flow_record.hh"

namespace sluice::api {

struct ConntrackStyle {
    bool extended = false;         ///< -o extended: layer 3 name and number in front
    bool id = false;               ///< -o id
    bool counters = true;          ///< packets= and bytes= (Linux prints them when accounting is on)
    bool timeouts = false;         ///< those that a flow has for itself (GRE)
    bool zone = false;             ///< zone= also when both tuples are in zone 0
    bool helper = true;            ///< helper=
    bool whole_addresses = false;  ///< IPv6 addresses with all their digits
    bool kernel = false;           ///< the kernel's names of protocols, not conntrack(8)'s
    std::uint32_t references = 0;  ///< added to use=: Linux counts who looks
};

/// A line of /proc/net/nf_conntrack.
inline constexpr ConntrackStyle kProcStyle{.extended = true,
                                           .timeouts = true,
                                           .zone = true,
                                           .helper = false,
                                           .whole_addresses = true,
                                           .kernel = true,
                                           .references = 1};

/// One line without its end.
std::string conntrack_line(const FlowRecord& flow, const ConntrackStyle& style = {});

/// A line of `conntrack -L -o save`: the options that would make this entry. `verb`: D says that it is deleted.
std::string conntrack_save_line(const FlowRecord& flow, char verb = 'A');

/// Of `conntrack -E`: what else -o asks for.
struct EventStyle {
    bool time = false;    ///< -o timestamp: when it happened
    bool kernel = false;  ///< -o ktimestamp: when the flow began and ended
    bool save = false;    ///< -o save
};

/// A line of `conntrack -E`, without its end and without the program that wanted it so.
std::string conntrack_event_line(const FlowEventRecord& event, const ConntrackStyle& style = {},
                                 const EventStyle& more = {});

/// An IPv6 address as Linux itself writes it (%pI6): 2001:0db8:0000:0000:0000:0000:0000:0001.
std::string full_text(const std::array<std::uint8_t, 16>& address);

/// A line of `conntrack -L expect`.
std::string expectation_line(const ExpectationRecord& expectation);

/// The last line of a listing or deletion, on stderr: "conntrack v… (conntrack-tools): N flow entries have been
/// shown.". The version is the one whose format this is, since scripts match the whole line.
std::string conntrack_trailer(std::uint64_t count, std::string_view done);

/// "conntrack v1.4.7 (conntrack-tools): " in front of every message.
std::string conntrack_message(std::string_view text);

}  // namespace sluice::api

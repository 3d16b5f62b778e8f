// Lines for packets that a log rule matched, worded as netfilter's LOG target words them, so that what reads those
// reads these. Rate-limited: a rule that logs every packet of a flood must not flood the log. Control thread.
#pragma once

#include <chrono>
#include <string>

#include "control/compile/names.hh"
#include "control/config/schema.hh"
#include "control/logging/rate_limit.hh"
#include "dataplane/flow/mailbox.hh"

namespace sluice::app {

/// "web IN=lan OUT=wan SRC=192.0.2.1 DST=198.51.100.7 LEN=60 PROTO=TCP SPT=40000 DPT=80"
std::string log_line(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config);

class PacketLog {
public:
    void write(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config,
               std::chrono::steady_clock::time_point now);

private:
    logging::RateLimit limit_{200, std::chrono::seconds(1)};
};

}  // namespace sluice::app

// Lines for what workers post about single packets: those that a log rule matched, worded as netfilter's LOG target
// words them, so that what reads those reads these; and newcomers that found a source pool used up. All are limited in
// rate, each kind by itself: a flood must neither flood the log nor silence the other kinds.
//
// Owner: control thread. Time is passed in.
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
    /// `notice` is of NoticeKind::log.
    void write(const Notice& notice, const LogPrefixes& prefixes, const config::Config& config,
               std::chrono::steady_clock::time_point now);

private:
    // Rules are what an operator asked to see; the others repeat themselves, and have Linux's own limit for such.
    logging::RateLimit rules_{200, std::chrono::seconds(1)};
    logging::RateLimit pool_exhausted_{10, std::chrono::seconds(5)};
};

}  // namespace sluice::app

// sluiced from start to end: what is made in which order, what runs on the control thread, and how it ends.
//
//   control socket (one box a machine) → machine → policy → engine → kernel side → API → workers → io_context
//   SIGHUP: reload.  SIGTERM, SIGINT: end; everything goes in reverse order, and the flows with it.
//
// Owner: the thread that calls run(), the EAL's main lcore. Failure policy: std::runtime_error with one line from the
// constructor, StartInterrupted (start_signals.hh) when a signal ends the start; what was made in the kernel is taken
// back then.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "control/config/schema.hh"

namespace sluice::app {

class Daemon {
public:
    Daemon(const config::Config& config, std::filesystem::path config_file, std::string version);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    /// Until a signal ends it.
    void run();

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace sluice::app

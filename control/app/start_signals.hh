// SIGTERM and SIGINT while the daemon is being put together: the io_context that answers signals does not run yet, and
// a start may take seconds (memory to be cleared, queues that a dead process still holds). Asked between two parts; the
// parts that are made then go as after any start that fails.
//
// Life cycle: made before the first part, gone before the daemon runs. Signals are not taken away from the signal_set
// of the daemon: one that comes after the last question is answered there. Owner: control thread.
#pragma once

#include <csignal>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace sluice::app {

/// Ends a start; no error.
struct StartInterrupted {
    int signal;
};

class StartSignals {
public:
    StartSignals() {
        signals_.async_wait([this](const boost::system::error_code& error, int signal) {
            if (!error) signal_ = signal;
        });
    }
    StartSignals(const StartSignals&) = delete;
    StartSignals& operator=(const StartSignals&) = delete;

    /// Throws StartInterrupted when a signal has come.
    void check() {
        io_.poll();
        if (signal_ != 0) throw StartInterrupted{signal_};
    }
    /// `part` unchanged: for the place in a list of initializers before it.
    template <class T>
    T& before(T& part) {
        check();
        return part;
    }

private:
    boost::asio::io_context io_{1};
    boost::asio::signal_set signals_{io_, SIGTERM, SIGINT};
    int signal_ = 0;
};

}  // namespace sluice::app

#include "control/logging/line_writer.hh"

#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <deque>
#include <mutex>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace sluice::logging {
namespace {

/// Blocks for as long as the reader likes. False when nobody will take it.
bool write_all(int descriptor, std::string_view text) {
    while (!text.empty()) {
        const ssize_t done = ::write(descriptor, text.data(), text.size());
        if (done >= 0) {
            text.remove_prefix(static_cast<std::size_t>(done));
        } else if (errno == EAGAIN) {
            // Another process has made the terminal that we share non-blocking.
            ::pollfd wait{.fd = descriptor, .events = POLLOUT, .revents = 0};
            if (::poll(&wait, 1, -1) < 0 && errno != EINTR) return false;
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

/// A thread that is made while this lives gets no signals: they are the control thread's, and a SIGPIPE is nobody's.
class SignalsBlocked {
public:
    SignalsBlocked() {
        sigset_t all;
        ::sigfillset(&all);
        ::pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
    SignalsBlocked(const SignalsBlocked&) = delete;
    SignalsBlocked& operator=(const SignalsBlocked&) = delete;

private:
    sigset_t before_{};
};

}  // namespace

struct LineWriter::State {
    State(int to, std::atomic<std::uint64_t>& counter) : descriptor(to), lost(counter) {}

    const int descriptor;
    std::atomic<std::uint64_t>& lost;
    std::mutex mutex;
    std::condition_variable work;   ///< there is a line, or the end
    std::condition_variable empty;  ///< every line is written
    std::deque<std::string> lines;
    std::size_t waiting_bytes = 0;  ///< of `lines` and of the one that is being written
    bool full = false;              ///< until half of the room is free
    bool writing = false;
    bool end = false;
};

LineWriter::LineWriter(int descriptor, std::atomic<std::uint64_t>& lost, Limits limits)
    : state_(std::make_shared<State>(descriptor, lost)), limits_(limits) {
    const SignalsBlocked blocked;
    thread_ = std::thread([state = state_] { run(*state); });
    ::pthread_setname_np(thread_.native_handle(), "sluice-log");
}

LineWriter::~LineWriter() {
    const bool idle = !given_up_ && flush();
    {
        const std::lock_guard lock(state_->mutex);
        state_->end = true;
        state_->lost += state_->lines.size();
        state_->lines.clear();
    }
    state_->work.notify_one();
    if (idle)
        thread_.join();
    else
        thread_.detach();
}

void LineWriter::run(State& state) {
    std::unique_lock lock(state.mutex);
    for (;;) {
        state.work.wait(lock, [&] { return state.end || !state.lines.empty(); });
        if (state.lines.empty()) return;
        const std::string line = std::move(state.lines.front());
        state.lines.pop_front();
        state.writing = true;
        lock.unlock();
        const bool written = write_all(state.descriptor, line);
        lock.lock();
        if (!written) ++state.lost;
        state.writing = false;
        state.waiting_bytes -= line.size();
        if (state.lines.empty()) state.empty.notify_all();
    }
}

bool LineWriter::write(std::string line) {
    {
        const std::lock_guard lock(state_->mutex);
        const std::size_t room = state_->full ? limits_.waiting_bytes / 2 : limits_.waiting_bytes;
        state_->full = state_->waiting_bytes + line.size() > room;
        if (state_->full) return false;
        state_->waiting_bytes += line.size();
        state_->lines.push_back(std::move(line));
    }
    state_->work.notify_one();
    return true;
}

bool LineWriter::flush() {
    std::unique_lock lock(state_->mutex);
    const bool written =
        state_->empty.wait_for(lock, limits_.end, [&] { return state_->lines.empty() && !state_->writing; });
    given_up_ = !written;
    return written;
}

void LineWriter::share_cores() {
    cpu_set_t cores;
    if (::pthread_getaffinity_np(::pthread_self(), sizeof cores, &cores) == 0)
        ::pthread_setaffinity_np(thread_.native_handle(), sizeof cores, &cores);
}

}  // namespace sluice::logging

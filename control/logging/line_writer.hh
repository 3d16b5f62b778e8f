// Writes log lines to a descriptor in a thread of its own, so that a reader who does not read (a full pipe, a terminal
// that was stopped with Ctrl-S) never holds up who logs. Lines that find no room, or that nobody takes any more, are
// lost.
//
// A thread, because nothing else keeps write() from blocking: O_NONBLOCK would hold for every process that shares the
// terminal or the pipe, and poll() promises room for one byte, not for a line.
//
// Life cycle: the thread runs from construction; destruction waits a bounded time for the lines that are left, and then
// leaves the thread to itself, for it may stand in write() for ever. Safe from any thread. Failure policy: errors of
// write() are counted, never reported: this is where reports go.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>

namespace sluice::logging {

class LineWriter {
public:
    struct Limits {
        std::size_t waiting_bytes = 1 << 20;   ///< of lines that wait for the reader
        std::chrono::milliseconds end{1'000};  ///< longest wait of flush() and of the destructor
    };

    /// `lost` counts lines; it must outlive the process's last line, so it is static. The descriptor stays the
    /// caller's.
    LineWriter(int descriptor, std::atomic<std::uint64_t>& lost, Limits limits);
    ~LineWriter();
    LineWriter(const LineWriter&) = delete;
    LineWriter& operator=(const LineWriter&) = delete;

    /// Takes a whole line, with its newline. False when there is no room, which is for the caller to count; it stays so
    /// until half of the room is free again, so that losses come in few and long runs. Never waits for the reader.
    bool write(std::string line);
    /// Waits until everything is written; false when the reader took too long.
    bool flush();
    /// The thread runs from now on where the calling thread may run.
    void share_cores();

private:
    struct State;
    static void run(State& state);

    std::shared_ptr<State> state_;  ///< the thread's too, which may outlive this
    Limits limits_;
    bool given_up_ = false;
    std::thread thread_;
};

}  // namespace sluice::logging

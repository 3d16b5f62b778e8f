#include "dataplane/worker/eal.hh"

#include <cerrno>
#include <cstdio>
#include <stdexcept>
#include <unistd.h>
#include <vector>

#include <rte_config.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>

namespace sluice {

/// A stdio stream whose lines go to the sink; keeps the last complaint, which explains a failed start.
class Eal::Log {
public:
    explicit Log(EalLogSink sink) : sink_(std::move(sink)) {
        cookie_io_functions_t functions{};
        functions.write = [](void* self, const char* text, std::size_t length) -> ssize_t {
            static_cast<Log*>(self)->take({text, length});
            return static_cast<ssize_t>(length);
        };
        stream_ = fopencookie(this, "w", functions);
        if (stream_ == nullptr) throw std::runtime_error("no memory for a log stream");
        std::setvbuf(stream_, nullptr, _IOLBF, 1024);
        rte_openlog_stream(stream_);
    }
    ~Log() {
        rte_openlog_stream(nullptr);
        std::fclose(stream_);
    }
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    [[nodiscard]] const std::string& last_error() const noexcept { return last_error_; }

private:
    /// Called under the stream's own lock, by whichever thread logs.
    void take(std::string_view text) {
        partial_ += text;
        for (std::size_t end; (end = partial_.find('\n')) != std::string::npos; partial_.erase(0, end + 1)) {
            const std::string line = partial_.substr(0, end);
            const int level = rte_log_cur_msg_loglevel();
            if (level > 0 && level <= static_cast<int>(RTE_LOG_ERR)) last_error_ = line;
            if (sink_ && !line.empty()) sink_(level, line);
        }
    }

    EalLogSink sink_;
    FILE* stream_ = nullptr;
    std::string partial_;
    std::string last_error_;
};

namespace {

/// rte_eal_init's errors in an operator's words.
std::string explain(int error, const EalOptions& options, const std::string& last_line) {
    const std::string tail = last_line.empty() ? "" : " (" + last_line + ")";
    switch (error) {
        case EACCES:
        case EPERM:
            return "no rights to start DPDK: run as root or with CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK" + tail;
        case ENOMEM:
            return "DPDK could not get " + std::to_string(options.megabytes) +
                   " MB of memory: lower memory.megabytes or reserve more hugepages" + tail;
        case EALREADY:
            return "DPDK was started in this process before";
        case EAGAIN:
            return "DPDK found a resource busy; is another DPDK program starting?" + tail;
        case ENODEV:
            return "DPDK found no device it could use" + tail;
        default:
            return std::string("DPDK could not start: ") + rte_strerror(error) + tail;
    }
}

}  // namespace

Eal::Eal(const EalOptions& options, EalLogSink sink) : plan_(plan_eal(options, read_machine_facts("/"))) {
    if (!plan_.problem.empty()) throw std::runtime_error(plan_.problem);
    if (sink)
        xdp_log_ =
            std::make_unique<XdpLog>([sink](std::string_view line) { sink(static_cast<int>(RTE_LOG_DEBUG), line); });
    log_ = std::make_unique<Log>(std::move(sink));
    // DPDK keeps pointers into the arguments and reorders them.
    std::vector<char*> words;
    for (std::string& word : plan_.arguments) words.push_back(word.data());
    if (rte_eal_init(static_cast<int>(words.size()), words.data()) < 0)
        throw std::runtime_error(explain(rte_errno, options, log_->last_error()));
}

Eal::~Eal() {
    const std::string runtime_directory = rte_eal_get_runtime_dir();
    rte_eal_cleanup();
    ::rmdir(runtime_directory.c_str());  // empty in our mode of use
}

}  // namespace sluice

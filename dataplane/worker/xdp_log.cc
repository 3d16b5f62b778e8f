#include "dataplane/worker/xdp_log.hh"

#include <algorithm>
#include <array>
#include <bpf/libbpf.h>
#include <cstdarg>
#include <cstdio>
#include <mutex>
#include <utility>
#include <xdp/libxdp.h>

namespace sluice {
namespace {

/// The libraries call plain functions, so there is one of it.
struct {
    std::mutex mutex;
    XdpLog::Sink sink;
} the_log;

int take(const char* format, va_list arguments) {
    std::array<char, 1024> text{};
    const int wanted = std::vsnprintf(text.data(), text.size(), format, arguments);
    std::string_view line{text.data(), static_cast<std::size_t>(std::clamp<int>(wanted, 0, text.size() - 1))};
    while (line.ends_with('\n')) line.remove_suffix(1);
    const std::lock_guard lock{the_log.mutex};
    if (the_log.sink && !line.empty()) the_log.sink(line);
    return wanted;
}

}  // namespace

XdpLog::XdpLog(Sink sink) {
    {
        const std::lock_guard lock{the_log.mutex};
        the_log.sink = std::move(sink);
    }
    // Their own debug lines are hundreds.
    libbpf_set_print([](libbpf_print_level level, const char* format, va_list arguments) {
        return level == LIBBPF_DEBUG ? 0 : take(format, arguments);
    });
    libxdp_set_print([](libxdp_print_level level, const char* format, va_list arguments) {
        return level == LIBXDP_DEBUG ? 0 : take(format, arguments);
    });
}

XdpLog::~XdpLog() {
    libbpf_set_print(nullptr);
    libxdp_set_print(nullptr);
    const std::lock_guard lock{the_log.mutex};
    the_log.sink = nullptr;
}

}  // namespace sluice

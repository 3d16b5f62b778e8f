// Where libbpf and libxdp, which the driver of AF_XDP uses, print to. By themselves they write to stderr, a dozen lines
// at every healthy start (sections that they do not know, the dispatcher that this kernel refuses, and that they do
// without it). What matters of it comes back to us as an error of the driver; the lines are for who looks closer.
//
// Life cycle: as Eal, which owns it; one at a time. Lines may come from any thread that sets a port up.
#pragma once

#include <functional>
#include <string_view>

namespace sluice {

class XdpLog {
public:
    using Sink = std::function<void(std::string_view line)>;

    explicit XdpLog(Sink sink);
    /// From then on they are silent.
    ~XdpLog();
    XdpLog(const XdpLog&) = delete;
    XdpLog& operator=(const XdpLog&) = delete;
};

}  // namespace sluice

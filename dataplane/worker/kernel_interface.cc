#include "dataplane/worker/kernel_interface.hh"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <system_error>
#include <unistd.h>

namespace sluice {

namespace {

/// One ioctl about `name`; false when it fails.
bool ask(unsigned long request, const std::string& name, ifreq& answer) {
    std::memcpy(answer.ifr_name, name.data(), std::min(name.size(), std::size_t{IFNAMSIZ - 1}));
    const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const bool done = ::ioctl(fd, request, &answer) == 0;
    ::close(fd);
    return done;
}

}  // namespace

unsigned interface_index(const std::string& name) {
    return ::if_nametoindex(name.c_str());
}

ReceiveQueues interface_receive_queues(const std::string& name) {
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    ifreq request{};
    request.ifr_data = reinterpret_cast<char*>(&channels);
    if (!ask(SIOCETHTOOL, name, request)) return {};
    return {channels.combined_count + channels.rx_count, channels.combined_count == 0 ? "rx" : "combined"};
}

std::uint16_t interface_mtu(const std::string& name) {
    ifreq request{};
    if (!ask(SIOCGIFMTU, name, request)) return 0;
    return static_cast<std::uint16_t>(std::clamp(request.ifr_mtu, 0, 65535));
}

bool interface_running(const std::string& name) {
    ifreq request{};
    return ask(SIOCGIFFLAGS, name, request) && (request.ifr_flags & IFF_UP) != 0 &&
           (request.ifr_flags & IFF_RUNNING) != 0;
}

bool set_interface_up(const std::string& name) {
    ifreq request{};
    if (!ask(SIOCGIFFLAGS, name, request)) return false;
    if ((request.ifr_flags & IFF_UP) != 0) return true;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    return ask(SIOCSIFFLAGS, name, request);
}

InterfaceClaim::InterfaceClaim(const std::string& name) : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    if (fd_ < 0) throw std::system_error(errno, std::generic_category());
    const std::string key = "sluice-interface-" + name.substr(0, IFNAMSIZ);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;  // sun_path begins with a zero: abstract
    std::memcpy(address.sun_path + 1, key.data(), key.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + key.size());
    if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), length) == 0) return;
    const int error = errno;
    ::close(fd_);
    throw std::system_error(error, std::generic_category());
}

InterfaceClaim::~InterfaceClaim() {
    ::close(fd_);
}

}  // namespace sluice
